//! The program as a library: what tests use to start a cluster.
