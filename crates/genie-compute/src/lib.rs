//! Device choice, CPU feature checks and the worker thread that owns a model.
