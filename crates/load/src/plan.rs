//! What load to make.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

/// The header by which a service says which version of it answered, unless it uses another.
pub const VERSION_HEADER: &str = "x-version";

/// What load to make.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// `http://host:port/path`.
    pub url: String,
    /// Requests per second (open loop); `None` for as many as the connections carry (closed loop).
    pub rate: Option<f64>,
    /// Connections, and so the most requests at a time.
    pub connections: usize,
    /// How long; `None` until it is stopped.
    pub duration: Option<Duration>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Sent with each request.
    pub headers: Vec<(String, String)>,
    /// Requested in turn instead of the path of `url`; each starts with `/`.
    pub paths: Vec<String>,
    /// The header of a response that names the version which answered.
    pub version_header: String,
}

impl LoadPlan {
    /// 64 connections as fast as they go, until it is stopped.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            rate: None,
            connections: 64,
            duration: None,
            timeout: Duration::from_secs(30),
            headers: Vec::new(),
            paths: Vec::new(),
            version_header: VERSION_HEADER.to_owned(),
        }
    }
}

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The address is not one.
    #[error("`{0}` is not an address such as http://127.0.0.1:8080/")]
    Url(String),
    /// Only plain HTTP is spoken.
    #[error("`{0}` is not an http address, and nothing else is spoken here")]
    Scheme(String),
    /// A path is not one.
    #[error("`{0}` is not a path; it must start with `/`")]
    Path(String),
    /// A header is not one.
    #[error("`{0}` is not a header")]
    Header(String),
    /// No load at all.
    #[error("the rate and the number of connections must be more than 0")]
    Nothing,
}

/// A plan's address, paths and headers, checked.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Host and port to connect to.
    pub(crate) address: (String, u16),
    pub(crate) host: HeaderValue,
    pub(crate) paths: Vec<Uri>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) version_header: HeaderName,
}

impl Target {
    pub(crate) fn of(plan: &LoadPlan) -> Result<Self, PlanError> {
        if plan.connections == 0 || plan.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(PlanError::Nothing);
        }
        let bad = || PlanError::Url(plan.url.clone());
        let url: Uri = plan.url.parse().map_err(|_| bad())?;
        if url.scheme_str() != Some("http") {
            return Err(PlanError::Scheme(plan.url.clone()));
        }
        let authority = url.authority().ok_or_else(bad)?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let own = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let paths = if plan.paths.is_empty() { vec![own] } else { plan.paths.clone() };
        Ok(Self {
            address: (name, authority.port_u16().unwrap_or(80)),
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?,
            paths: paths.iter().map(|path| check_path(path)).collect::<Result<_, _>>()?,
            headers: plan.headers.iter().map(check_header).collect::<Result<_, _>>()?,
            version_header: check_header_name(&plan.version_header)?,
        })
    }
}

fn check_path(path: &str) -> Result<Uri, PlanError> {
    let parsed = path.parse().ok().filter(|_| path.starts_with('/'));
    parsed.ok_or_else(|| PlanError::Path(path.to_owned()))
}

fn check_header_name(name: &str) -> Result<HeaderName, PlanError> {
    name.parse().map_err(|_| PlanError::Header(name.to_owned()))
}

fn check_header((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), PlanError> {
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| PlanError::Header(format!("{name}: {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plans_that_make_sense() {
        let target = Target::of(&LoadPlan::new("http://[::1]:8080/a?b=1")).unwrap();
        assert_eq!((target.address.0.as_str(), target.address.1), ("::1", 8080));
        assert_eq!(target.paths, ["/a?b=1"]);
        let no = |plan| Target::of(&plan).unwrap_err();
        assert!(matches!(no(LoadPlan::new("https://a/")), PlanError::Scheme(_)));
        assert!(matches!(no(LoadPlan::new("not an address")), PlanError::Url(_)));
        let base = || LoadPlan::new("http://a");
        assert_eq!(no(LoadPlan { rate: Some(0.0), ..base() }), PlanError::Nothing);
        assert_eq!(no(LoadPlan { connections: 0, ..base() }), PlanError::Nothing);
        assert!(matches!(no(LoadPlan { paths: vec!["x".to_owned()], ..base() }), PlanError::Path(_)));
        let headers = vec![("a b".to_owned(), String::new())];
        assert!(matches!(no(LoadPlan { headers, ..base() }), PlanError::Header(_)));
        let version_header = "a b".to_owned();
        assert!(matches!(no(LoadPlan { version_header, ..base() }), PlanError::Header(_)));
    }
}
