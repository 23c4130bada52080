//! JSON that holds secrets, and is wiped when it is dropped.

use std::ops::Deref;

use secrecy::zeroize::Zeroize as _;
use serde_json::Value as Json;

/// Parsed JSON that may hold secrets.
pub struct Wiped(Json);

impl Wiped {
    /// Parses. `serde_json` limits the depth to 128; the caller has to limit the length.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }
}

impl std::fmt::Debug for Wiped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wiped(..)")
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
        // Recurses no deeper than the parser allows.
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
