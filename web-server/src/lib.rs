//! The chat page and the server that hands it out.
