//! The engine of chathost: connector, sessions, channels, calls between servers, handler hosting.
