//! yelb-ui
fn main() {}
