//! Spans of generated code.
//!
//! rustc marks the range from the first to the last token of an error. Stable Rust has no span for
//! a run of tokens. So generated code that is to be reported under several of the user's tokens
//! begins with tokens at the start of that range and ends with tokens at its end.

use proc_macro2::Span;
use quote::ToTokens;

/// A run of tokens, as its two ends.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: Span,
    pub(crate) last: Span,
}

impl Place {
    pub(crate) fn of(tokens: &impl ToTokens) -> Self {
        let mut spans = tokens.to_token_stream().into_iter().map(|token| token.span());
        let first = spans.next().unwrap_or_else(Span::call_site);
        Self { first, last: spans.last().unwrap_or(first) }
    }
}
