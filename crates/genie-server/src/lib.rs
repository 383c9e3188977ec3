//! HTTP: the answer, search and OpenAI-compatible interfaces.
