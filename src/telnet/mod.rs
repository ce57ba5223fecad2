//! The telnet codec: pure, resumable at any byte.
