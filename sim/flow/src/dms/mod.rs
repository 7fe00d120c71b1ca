//! The DMS task emulator (under construction).
