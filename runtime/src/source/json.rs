//! JSON that holds secrets, and is wiped when it is dropped.

use std::ops::Deref;

use secrecy::zeroize::Zeroize as _;
use serde_json::Value as Json;

/// What was parsed out of a text with secrets in it.
pub(crate) struct Wiped(Json);

impl Wiped {
    /// Parses. The depth is bounded by `serde_json`, to 128; the length is the caller's to bound.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }
}

impl Deref for Wiped {
    type Target = Json;

    fn deref(&self) -> &Json {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // As deep as the parser lets an object be.
        fn wipe(json: &mut Json) {
            match json {
                Json::String(text) => text.zeroize(),
                Json::Array(items) => items.iter_mut().for_each(wipe),
                Json::Object(fields) => fields.values_mut().for_each(wipe),
                Json::Null | Json::Bool(_) | Json::Number(_) => {}
            }
        }
        wipe(&mut self.0);
    }
}
