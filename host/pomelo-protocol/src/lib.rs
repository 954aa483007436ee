//! Pomelo's wire: package, message, handshake, dictionary, protobuf. No IO.
