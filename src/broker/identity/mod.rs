//! Who is asking: assertions and tokens of issuers, checked and matched against the policy.
