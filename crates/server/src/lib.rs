//! HTTP edge: authentication, REST, events, git, agents, page.
