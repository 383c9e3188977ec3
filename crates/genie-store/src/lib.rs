//! Chunks and vectors in Qdrant, in process or on a server.
