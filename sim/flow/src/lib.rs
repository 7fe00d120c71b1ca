//! AWS services that move data, as clients of the stores
