//! Bytes to documents to chunks with exact spans.
