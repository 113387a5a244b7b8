//! yelb
fn main() {}
