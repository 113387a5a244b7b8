//! Yelb's page, and the proxy of `/api` to the app server.
//!
//! It knows the API's address and nothing else of it: neither votes nor stores. [`page`] is what the browser loads,
//! [`proxy`] what its requests go through to the [`upstream`], [`live`] what is read once for all browsers, [`answers`] what
//! the big screen shows besides, [`router`] all of it in one place.

pub mod answers;
pub mod base_path;
pub mod config;
pub mod contact;
pub mod frame_ancestors;
pub mod live;
pub mod page;
pub mod proxy;
pub mod router;
pub mod upstream;
