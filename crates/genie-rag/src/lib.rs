//! The two pipelines: indexing documents and answering questions.
