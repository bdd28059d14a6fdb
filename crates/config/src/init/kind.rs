//! Recognises what a directory holds.

use std::fs;
use std::path::Path;

/// A kind of project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Cargo.toml`.
    Cargo,
    /// `package.json` with npm.
    Npm,
    /// `package.json` with `pnpm-lock.yaml`.
    Pnpm,
    /// `package.json` with `yarn.lock`.
    Yarn,
    /// `pyproject.toml` or `setup.py`.
    Python,
    /// `requirements.txt` alone.
    PythonRequirements,
    /// `go.mod`.
    Go,
    /// `pom.xml`.
    Maven,
    /// `build.gradle` or `build.gradle.kts`.
    Gradle,
    /// `CMakeLists.txt`.
    CMake,
    /// `Makefile`.
    Make,
    /// `Gemfile`.
    Ruby,
    /// `composer.json`.
    Php,
    /// `*.csproj`, `*.fsproj` or `*.sln`.
    DotNet,
    /// `index.html`.
    Static,
    /// Only a `Dockerfile`.
    Dockerfile,
    /// Nothing that is known.
    Unknown,
}

impl Kind {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 17] = [
        Self::Cargo,
        Self::Pnpm,
        Self::Yarn,
        Self::Npm,
        Self::Python,
        Self::PythonRequirements,
        Self::Go,
        Self::Maven,
        Self::Gradle,
        Self::DotNet,
        Self::Php,
        Self::Ruby,
        Self::CMake,
        Self::Make,
        Self::Static,
        Self::Dockerfile,
        Self::Unknown,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Python => "python",
            Self::PythonRequirements => "python-requirements",
            Self::Go => "go",
            Self::Maven => "maven",
            Self::Gradle => "gradle",
            Self::CMake => "cmake",
            Self::Make => "make",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::DotNet => "dotnet",
            Self::Static => "static",
            Self::Dockerfile => "dockerfile",
            Self::Unknown => "plain",
        }
    }

    /// Finds a kind by its word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// By which files it is recognised.
    const fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Cargo => &["Cargo.toml"],
            Self::Npm => &["package.json"],
            Self::Pnpm => &["pnpm-lock.yaml"],
            Self::Yarn => &["yarn.lock"],
            Self::Python => &["pyproject.toml", "setup.py"],
            Self::PythonRequirements => &["requirements.txt"],
            Self::Go => &["go.mod"],
            Self::Maven => &["pom.xml"],
            Self::Gradle => &["build.gradle", "build.gradle.kts"],
            Self::CMake => &["CMakeLists.txt"],
            Self::Make => &["Makefile", "makefile", "GNUmakefile"],
            Self::Ruby => &["Gemfile"],
            Self::Php => &["composer.json"],
            Self::DotNet => &[".csproj", ".fsproj", ".sln"],
            Self::Static => &["index.html"],
            Self::Dockerfile => &["Dockerfile", "Containerfile"],
            Self::Unknown => &[],
        }
    }
}

/// Recognises the project in a directory, by the files at its top.
#[must_use]
pub fn recognise(directory: &Path) -> Kind {
    let names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let marked = |kind: &Kind| {
        let fits = |name: &String| match kind {
            Kind::DotNet => kind.marks().iter().any(|mark| name.ends_with(mark)),
            _ => kind.marks().contains(&name.as_str()),
        };
        names.iter().any(fits)
    };
    Kind::ALL.into_iter().find(marked).unwrap_or(Kind::Unknown)
}
