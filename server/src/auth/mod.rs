//! Who may connect and what they may do: the JSON web tokens of operators, accounts and users (`jwt`).

pub mod jwt;
pub mod signature;
