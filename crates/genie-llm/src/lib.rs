//! Tokens in, tokens out: the decoder, its sampling and its chat templates.
