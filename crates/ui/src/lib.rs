//! View models, templates and embedded assets of the page.
