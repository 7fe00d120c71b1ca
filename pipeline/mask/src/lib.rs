//! Classify columns, find PII, mask values; pure
