//! yelb-ui
