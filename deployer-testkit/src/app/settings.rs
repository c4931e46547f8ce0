//! How the demo application behaves.

use std::{fmt, str::FromStr, time::Duration};

use deployer_core::model::Percent;

use super::MARKER;

/// A setting of the demo application that it does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} is wrong; use {range}")]
pub struct AppError {
    name: &'static str,
    value: String,
    range: &'static str,
}

/// What `/healthz` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Status 200.
    #[default]
    Ok,
    /// Status 500 for ever.
    Never,
    /// Status 200, and then one byte a second.
    Slow,
    /// Status 200, and then ten gigabytes.
    Endless,
}

/// What `/smoke` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Smoke {
    /// Status 200.
    #[default]
    Ok,
    /// Status 500.
    Fail,
}

/// What the demo application does when it is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTerminate {
    /// Exits at once, whatever is being answered: the rude case, which shows whether it was drained before.
    #[default]
    Exit,
    /// Accepts nothing new, answers what it has, then exits.
    Drain,
    /// Goes on, until it is killed.
    Ignore,
}

/// How the demo application behaves. Written as `NAME=value`, in the environment or, which wins, as arguments after
/// [`MARKER`]. An unknown argument is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// `PORT`: where it listens on 127.0.0.1; 0 lets the system choose. Has to be given.
    pub port: u16,
    /// `RELEASE`: what it says that it is. Default `unnamed`.
    pub release: String,
    /// `START_DELAY_MS`: how long it sleeps before it listens. Default 0.
    pub start_delay: Duration,
    /// `WORK_MS`: how long each `/` and `/echo` takes. Default 0.
    pub work: Duration,
    /// `HEALTH`: `ok`, `never`, `slow` or `endless`.
    pub health: Health,
    /// `SMOKE`: `ok` or `fail`.
    pub smoke: Smoke,
    /// `ERRORS_PERCENT`: share of `/` and `/echo` that is answered with status 500, exactly; health stays as it is.
    pub errors: Percent,
    /// `EXIT_AT_START`: ends at once with this exit code.
    pub exit_at_start: Option<u8>,
    /// `ON_SIGTERM`: `exit`, `drain` or `ignore`.
    pub on_terminate: OnTerminate,
}

impl AppSettings {
    /// Names of all settings, in the environment and as arguments.
    pub const NAMES: [&'static str; 9] = [
        "PORT",
        "RELEASE",
        "START_DELAY_MS",
        "WORK_MS",
        "HEALTH",
        "SMOKE",
        "ERRORS_PERCENT",
        "EXIT_AT_START",
        "ON_SIGTERM",
    ];

    /// A release that behaves well, on a port.
    pub fn new(release: impl Into<String>, port: u16) -> Self {
        Self {
            port,
            release: release.into(),
            start_delay: Duration::ZERO,
            work: Duration::ZERO,
            health: Health::default(),
            smoke: Smoke::default(),
            errors: Percent::default(),
            exit_at_start: None,
            on_terminate: OnTerminate::default(),
        }
    }

    /// The arguments that make a program that calls [`run_if_asked`](super::run_if_asked) behave so: [`MARKER`], then
    /// all settings. Leave `PORT=…` out of them where it comes by the environment.
    ///
    /// ```
    /// use deployer_testkit::app::AppSettings;
    /// let arguments = AppSettings::new("v1", 8080).arguments();
    /// assert_eq!(arguments[1..3], ["PORT=8080", "RELEASE=v1"]);
    /// ```
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            MARKER.to_owned(),
            format!("PORT={}", self.port),
            format!("RELEASE={}", self.release),
            format!("START_DELAY_MS={}", self.start_delay.as_millis()),
            format!("WORK_MS={}", self.work.as_millis()),
            format!("HEALTH={}", self.health),
            format!("SMOKE={}", self.smoke),
            format!("ERRORS_PERCENT={}", self.errors.get()),
            format!("ON_SIGTERM={}", self.on_terminate),
        ];
        arguments.extend(self.exit_at_start.map(|code| format!("EXIT_AT_START={code}")));
        arguments
    }

    /// Reads settings: first those of the environment, as far as they are known, then the arguments.
    ///
    /// # Errors
    /// The first value that is not understood, an argument that is no setting, or no port.
    pub fn parse(
        environment: impl IntoIterator<Item = (String, String)>,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, AppError> {
        let mut settings = Self::new("unnamed", 0);
        let mut has_port = false;
        for (name, value) in environment {
            if Self::NAMES.contains(&name.as_str()) {
                settings.set(&name, &value)?;
                has_port |= name == "PORT";
            }
        }
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            settings.set(name, value)?;
            has_port |= name == "PORT";
        }
        if has_port { Ok(settings) } else { Err(wrong("PORT", "", "0 to 65535")) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), AppError> {
        match name {
            "PORT" => self.port = number("PORT", value, "0 to 65535")?,
            "RELEASE" => self.release = release(value)?,
            "START_DELAY_MS" => self.start_delay = millis("START_DELAY_MS", value)?,
            "WORK_MS" => self.work = millis("WORK_MS", value)?,
            "HEALTH" => self.health = value.parse()?,
            "SMOKE" => self.smoke = value.parse()?,
            "ERRORS_PERCENT" => {
                let share = number("ERRORS_PERCENT", value, "0 to 100")?;
                self.errors = Percent::new(share).map_err(|_| wrong("ERRORS_PERCENT", value, "0 to 100"))?;
            }
            "EXIT_AT_START" => self.exit_at_start = Some(number("EXIT_AT_START", value, "0 to 255")?),
            "ON_SIGTERM" => self.on_terminate = value.parse()?,
            _ => return Err(wrong("argument", name, "NAME=value with a name of the documented ones")),
        }
        Ok(())
    }
}

macro_rules! words {
    ($type:ident, $name:literal, $range:literal, $($variant:ident = $word:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = AppError;
            fn from_str(text: &str) -> Result<Self, AppError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(wrong($name, text, $range)),
                }
            }
        }
    };
}

words!(
    Health,
    "HEALTH",
    "ok, never, slow or endless",
    Ok = "ok",
    Never = "never",
    Slow = "slow",
    Endless = "endless"
);
words!(Smoke, "SMOKE", "ok or fail", Ok = "ok", Fail = "fail");
words!(OnTerminate, "ON_SIGTERM", "exit, drain or ignore", Exit = "exit", Drain = "drain", Ignore = "ignore");

fn wrong(name: &'static str, value: &str, range: &'static str) -> AppError {
    AppError { name, value: value.chars().take(80).collect(), range }
}

fn number<T: FromStr>(name: &'static str, value: &str, range: &'static str) -> Result<T, AppError> {
    value.parse().map_err(|_| wrong(name, value, range))
}

fn millis(name: &'static str, value: &str) -> Result<Duration, AppError> {
    const RANGE: &str = "0 to 3600000 milliseconds";
    let millis: u64 = number(name, value, RANGE)?;
    if millis > 3_600_000 { Err(wrong(name, value, RANGE)) } else { Ok(Duration::from_millis(millis)) }
}

/// It is sent in a header.
fn release(value: &str) -> Result<String, AppError> {
    let fits = !value.is_empty() && value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(value.to_owned())
    } else {
        Err(wrong("RELEASE", value, "1 to 64 printable ASCII characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(environment: &[(&str, &str)], arguments: &[&str]) -> Result<AppSettings, AppError> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        AppSettings::parse(environment, arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments_and_back() {
        let settings = AppSettings {
            start_delay: Duration::from_millis(20),
            work: Duration::from_millis(3),
            health: Health::Endless,
            smoke: Smoke::Fail,
            errors: Percent::new(40).unwrap(),
            exit_at_start: Some(3),
            on_terminate: OnTerminate::Drain,
            ..AppSettings::new("v2", 8080)
        };
        let arguments = settings.arguments();
        assert_eq!(arguments[0], MARKER);
        assert_eq!(AppSettings::parse([], arguments[1..].to_vec()), Ok(settings));
    }

    #[test]
    fn arguments_win_over_the_environment_and_foreign_variables_are_ignored() {
        let settings = parse(&[("PORT", "80"), ("RELEASE", "a"), ("PATH", "/bin")], &["RELEASE=b"]).unwrap();
        assert_eq!((settings.port, settings.release.as_str()), (80, "b"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, name) in [
            (&["RELEASE=v1"][..], "PORT"),
            (&["PORT=70000"], "PORT"),
            (&["PORT=1", "HEALTH=maybe"], "HEALTH"),
            (&["PORT=1", "ERRORS_PERCENT=101"], "ERRORS_PERCENT"),
            (&["PORT=1", "RELEASE=a\r\nb"], "RELEASE"),
            (&["PORT=1", "WORK_MS=99999999"], "WORK_MS"),
            (&["PORT=1", "COLOUR=red"], "COLOUR"),
            (&["PORT=1", "--help"], "--help"),
        ] {
            let error = parse(&[], arguments).unwrap_err().to_string();
            assert!(error.contains(name), "{error} does not name {name}");
        }
    }
}
