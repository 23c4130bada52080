//! Where generated code stands.
//!
//! rustc's squiggle goes from the first to the last token of what it is about. On a stable compiler there is no span for a run of tokens, so
//! generated code that is to be reported under a run of the user's begins with tokens at its beginning, and ends with tokens at its end.

use proc_macro2::Span;
use quote::ToTokens;

/// A run of tokens, by its ends.
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
