//! Where everything here is, as AWS would say it: one region, one account.

/// The region of the endpoint.
pub(crate) const REGION: &str = "us-east-1";
/// The account that owns everything.
pub(crate) const ACCOUNT: &str = "000000000000";
