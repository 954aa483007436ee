//! Support library and integration tests of chathost.
