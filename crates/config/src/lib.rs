//! towpath.yaml and environment documents to checked values with located diagnostics.
