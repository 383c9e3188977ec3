//! Model registry: manifest entries become verified local files.
