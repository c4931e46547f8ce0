//! What the matrix is asked for.

/// What the matrix is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Every point, not only a choice.
    pub(crate) all: bool,
    pub(crate) fake: bool,
    pub(crate) real: bool,
    pub(crate) json: bool,
    /// Only runs whose names begin so.
    pub(crate) only: Option<String>,
}

impl Options {
    /// Everything that is chosen by default.
    pub(crate) fn usual() -> Self {
        Self { fake: true, real: true, ..Self::default() }
    }

    /// # Errors
    /// An argument that is none.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::usual();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--all" => options.all = true,
                "--fake-only" => options.real = false,
                "--real-only" => options.fake = false,
                "--json" => options.json = true,
                "--only" => match arguments.next() {
                    // One that is named may be one that is not chosen by default.
                    Some(name) => (options.only, options.all) = (Some(name.clone()), true),
                    None => return Err("--only takes the beginning of the name of a run".to_owned()),
                },
                other => return Err(format!("{other:?} is not understood; see `cargo xtask help`")),
            }
        }
        Ok(options)
    }

    /// Whether this run is asked for.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.starts_with(only.as_str()))
    }

    /// Whether a run whose name begins so can be asked for.
    pub(crate) fn may_have(&self, beginning: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.starts_with(beginning) || beginning.starts_with(only.as_str()))
    }
}
