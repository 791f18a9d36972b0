//! Object metadata: its schema and the syntax of names, labels and annotations.
