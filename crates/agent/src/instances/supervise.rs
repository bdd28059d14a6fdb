//! The program `towpath supervise`: one small process per Instance, which outlives the agent.
//!
//! It starts the command, keeps its output, starts it again when it ends, and ends it when asked. It
//! decides nothing else: which bytes, which port, whether it is healthy, is the agent's business.
//! TERM stops the Instance, HUP starts the command anew. An Instance that is a container is in `contained`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use towpath_api::agent::Secret;
use towpath_artifact::LockFile;
use towpath_model::pipeline::Limits;

use super::cgroup::Cgroup;
use super::log::SharedLog;
use super::spec::{ChildState, InstanceDirectory, InstanceSpec, SupervisorStatus};
use crate::executor::{Lines, Masker, SHARED_VARIABLES};
use crate::processes::{INSTANCE_MARKER, Marker};

/// The first pause before the command is started again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A command that ran this long was healthy: its next pause is the first one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// How long output is awaited after everything was killed.
const DRAIN: Duration = Duration::from_millis(500);

/// How often, and after which pause, the lock is tried again.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The exit code for "another supervisor holds the Instance".
pub const ALREADY_SUPERVISED: u8 = 3;

/// What the hidden command `supervise` does; `arguments` are those after it: an Instance's directory, or
/// `--child PARENT CGROUP -- PROGRAM ARGUMENT…` for the stage between supervisor and command.
#[must_use]
pub fn supervise_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match arguments.as_slice() {
        [flag, parent, cgroup, dashes, program, rest @ ..] if flag == "--child" && dashes == "--" => {
            become_child(parent, Path::new(cgroup), program, rest)
        }
        [directory] => supervise(Path::new(directory)),
        _ => {
            eprintln!("towpath: `supervise` is started by the agent, with the directory of an Instance");
            ExitCode::from(2)
        }
    }
}

/// Ties this process's life to the supervisor's and becomes the command.
///
/// `cgroup` is the file that takes the number of a process which joins; empty where there is none.
fn become_child(parent: &OsString, cgroup: &Path, program: &OsString, arguments: &[OsString]) -> ExitCode {
    let tied = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    // The supervisor may have died before the tie was made: then nobody would ever end this process.
    if tied.is_err() || alive.as_deref() != parent.to_str() {
        eprintln!("towpath: the supervisor is gone, so the command was not started");
        return ExitCode::FAILURE;
    }
    if !cgroup.as_os_str().is_empty()
        && let Err(error) = std::fs::write(cgroup, "0")
    {
        eprintln!("towpath: {} cannot be joined, so the limits do not hold: {error}", cgroup.display());
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("towpath: `{}` cannot be executed: {error}", program.to_string_lossy());
    ExitCode::from(127)
}

fn supervise(path: &Path) -> ExitCode {
    // A session of its own: what happens to the agent's terminal or group does not reach it.
    let _already_leader = rustix::process::setsid();
    let directory = InstanceDirectory { path: path.to_owned() };
    let lock = match patient_lock(&directory) {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            eprintln!("towpath: {} has a supervisor already", path.display());
            return ExitCode::from(ALREADY_SUPERVISED);
        }
        Err(error) => {
            eprintln!("towpath: {} cannot be locked: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let done = Supervisor::new(directory).and_then(Supervisor::run);
    drop(lock);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towpath: the supervisor of {} failed: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// Takes the lock. Whoever looks whether it is held holds it for a moment, so one refusal is no answer.
fn patient_lock(directory: &InstanceDirectory) -> io::Result<Option<LockFile>> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = directory.try_lock()? {
            return Ok(Some(lock));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    directory.try_lock()
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Stop,
    Restart,
}

/// Signals as readable descriptors.
pub(super) struct Signals {
    term: UnixStream,
    hup: UnixStream,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let listen = |signal| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, write)?;
            io::Result::Ok(read)
        };
        Ok(Self { term: listen(signal_hook::consts::SIGTERM)?, hup: listen(signal_hook::consts::SIGHUP)? })
    }

    pub(super) fn wish(&mut self) -> Option<Wish> {
        let mut buffer = [0; 64];
        let mut came = |mut stream: &UnixStream| matches!(stream.read(&mut buffer), Ok(count) if count > 0);
        let (term, hup) = (came(&self.term), came(&self.hup));
        if term { Some(Wish::Stop) } else { hup.then_some(Wish::Restart) }
    }
}

pub(super) struct Supervisor {
    pub(super) directory: InstanceDirectory,
    pub(super) log: SharedLog,
    pub(super) signals: Signals,
    program: PathBuf,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<String>,
    pause: Duration,
    cgroup: Option<Cgroup>,
    /// Whether this supervisor has started something, or taken it over.
    pub(super) began: bool,
    /// Whether the engine has lost the image.
    pub(super) lacks_image: bool,
}

impl Supervisor {
    fn new(directory: InstanceDirectory) -> io::Result<Self> {
        Ok(Self {
            log: SharedLog::open(directory.log())?,
            signals: Signals::new()?,
            program: std::env::current_exe()?,
            restarts: 0,
            last_exit: None,
            pause: FIRST_PAUSE,
            cgroup: None,
            began: false,
            lacks_image: false,
            directory,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut marker = None;
        loop {
            // Read anew at each start: the agent may have chosen another port.
            let spec = self.directory.spec()?;
            let begun = Instant::now();
            let wish = match &spec.container {
                Some(container) => self.run_container(&spec, container)?,
                None => {
                    let name = spec.instance.to_string();
                    let marker = marker.get_or_insert_with(|| Marker::new(INSTANCE_MARKER, &name));
                    self.run_command(&spec, marker)?
                }
            };
            if begun.elapsed() >= HEALTHY_AFTER || wish == Some(Wish::Restart) {
                self.pause = FIRST_PAUSE;
            }
            let wish = if wish.is_none() { self.wait()? } else { wish };
            if wish == Some(Wish::Stop) {
                if spec.container.is_some() {
                    self.remove_container(&spec);
                }
                self.log.line("towpath", "stopped");
                return self.say(ChildState::Stopped);
            }
            self.restarts += 1;
        }
    }

    fn run_command(&mut self, spec: &InstanceSpec, marker: &Marker) -> io::Result<Option<Wish>> {
        // What an earlier supervisor of this Instance may have left.
        marker.kill_all();
        match self.start(spec) {
            Ok(child) => self.attend(child, spec, marker),
            Err(error) => {
                self.last_exit = Some(format!("could not be started: {error}"));
                Ok(None)
            }
        }
    }

    pub(super) fn say(&self, state: ChildState) -> io::Result<()> {
        let supervisor = rustix::process::getpid().as_raw_nonzero().get();
        let Self { restarts, last_exit, lacks_image, .. } = self;
        self.directory.write_status(&SupervisorStatus {
            supervisor,
            state,
            restarts: *restarts,
            last_exit: last_exit.clone(),
            lacks_image: *lacks_image,
        })
    }

    fn start(&mut self, spec: &InstanceSpec) -> io::Result<Child> {
        self.confine(spec);
        let entrance = self.cgroup.as_ref().map(Cgroup::entrance).unwrap_or_default();
        let text = spec.command.as_deref().unwrap_or_default();
        let mut command = Command::new(&self.program);
        command
            .args(["supervise", "--child", &std::process::id().to_string()])
            .arg(entrance)
            .args(["--", "sh", "-c", text])
            .env_clear()
            .envs(SHARED_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(&spec.env)
            .envs(spec.secrets.iter().map(|(name, value)| (name, value.expose())))
            .env("HOST", spec.host.to_string())
            .env("PORT", spec.port.to_string())
            .env("TOWPATH_ENVIRONMENT", spec.environment.to_string())
            .env("TOWPATH_WORKLOAD", spec.workload.as_str())
            .env("TOWPATH_REVISION", spec.revision.to_string())
            .env(INSTANCE_MARKER, spec.instance.to_string())
            .current_dir(&spec.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn()?;
        self.log.line("towpath", &format!("started `{text}` on {}:{}", spec.host, spec.port));
        let pid = Pid::from_child(&child).as_raw_nonzero().get();
        self.say(ChildState::Running { pid, port: spec.port, since: Timestamp::now() })?;
        Ok(child)
    }

    /// Gives the Instance a control group, or says in its log why its limits do not hold.
    fn confine(&mut self, spec: &InstanceSpec) {
        if self.cgroup.is_some() || spec.limits == Limits::default() {
            return;
        }
        match Cgroup::create(spec.instance, &spec.limits) {
            Ok(cgroup) => self.cgroup = Some(cgroup),
            Err(reason) => self.log.line("towpath", &format!("its limits are not enforced: {reason}")),
        }
    }

    /// Kills every process of the Instance.
    fn kill(&self, group: Pid, marker: &Marker) {
        let _gone = kill_process_group(group, Signal::KILL);
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        marker.kill_all();
    }

    /// Stays with the command until it has ended, and says what was asked for meanwhile.
    fn attend(&mut self, mut child: Child, spec: &InstanceSpec, marker: &Marker) -> io::Result<Option<Wish>> {
        let masker = Masker::new(spec.secrets.values().map(Secret::expose));
        let pid = Pid::from_child(&child);
        let exit = pidfd_open(pid, PidfdFlags::empty())?;
        let mut outputs = [
            Output::new("out", child.stdout.take().map(OwnedFd::from), &masker),
            Output::new("err", child.stderr.take().map(OwnedFd::from), &masker),
        ];
        let mut ending: Option<(Wish, Instant)> = None;
        loop {
            let until = ending.map_or(Duration::from_secs(3600), |(_, kill_at)| {
                kill_at.saturating_duration_since(Instant::now())
            });
            let ended = self.wait_for(Some(&exit), &mut outputs, until)?;
            if ended {
                break;
            }
            if let Some((wish, kill_at)) = &mut ending {
                if Instant::now() >= *kill_at {
                    self.kill(pid, marker);
                    *kill_at = Instant::now() + Duration::from_secs(1);
                }
                if self.signals.wish() == Some(Wish::Stop) {
                    *wish = Wish::Stop;
                }
            } else if let Some(wish) = self.signals.wish() {
                self.say(ChildState::Stopping)?;
                self.log.line(
                    "towpath",
                    &format!(
                        "sending {} to the process group, KILL in {:#}",
                        spec.stop.signal, spec.stop.grace
                    ),
                );
                let _gone = kill_process_group(pid, stop_signal(&spec.stop.signal));
                ending = Some((wish, Instant::now() + spec.stop.grace.unsigned_abs()));
            }
        }
        // Before it is reaped, while its number cannot belong to another group.
        self.kill(pid, marker);
        let status = child.wait()?;
        let until = Instant::now() + DRAIN;
        while outputs.iter().any(|output| output.pipe.is_some()) && Instant::now() < until {
            self.wait_for(None, &mut outputs, until.saturating_duration_since(Instant::now()))?;
        }
        for output in &mut outputs {
            output.finish(&self.log);
        }
        let ended = describe(status);
        self.log.line("towpath", &ended);
        self.last_exit = Some(ended);
        Ok(ending.map(|(wish, _)| wish))
    }

    /// Waits out the pause before the next start.
    fn wait(&mut self) -> io::Result<Option<Wish>> {
        let until = Instant::now() + self.pause;
        self.say(ChildState::Waiting { until: Timestamp::now() + self.pause })?;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        while Instant::now() < until {
            self.wait_for(None, &mut [], until.saturating_duration_since(Instant::now()))?;
            if let Some(wish) = self.signals.wish() {
                return Ok(Some(wish));
            }
        }
        Ok(None)
    }

    /// Waits for output, a signal or the exit, and takes the output. Says whether the exit has come.
    pub(super) fn wait_for(
        &mut self,
        exit: Option<&OwnedFd>,
        outputs: &mut [Output<'_>],
        time: Duration,
    ) -> io::Result<bool> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.term.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.hup.as_fd(), PollFlags::IN),
        ];
        fds.extend(exit.iter().map(|exit| PollFd::from_borrowed_fd(exit.as_fd(), PollFlags::IN)));
        let open: Vec<usize> = (0..outputs.len()).filter(|&index| outputs[index].pipe.is_some()).collect();
        let pipes = outputs.iter().filter_map(|output| output.pipe.as_ref());
        fds.extend(pipes.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        let time = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().skip(2).map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let first_pipe = usize::from(exit.is_some());
        for (position, index) in open.into_iter().enumerate() {
            if ready[first_pipe + position] {
                outputs[index].read(&self.log);
            }
        }
        Ok(exit.is_some() && ready[0])
    }
}

/// One output of the command, cut into lines.
pub(super) struct Output<'a> {
    name: &'static str,
    pipe: Option<File>,
    lines: Lines<'a>,
}

impl<'a> Output<'a> {
    fn new(name: &'static str, pipe: Option<OwnedFd>, masker: &'a Masker) -> Self {
        Self { name, pipe: pipe.map(File::from), lines: Lines::resume(masker, Vec::new()) }
    }

    fn read(&mut self, log: &SharedLog) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = [0; 16 * 1024];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(count) => self.lines.push(&buffer[..count], &mut |text| log.line(self.name, text)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.pipe = None,
        }
    }

    fn finish(&mut self, log: &SharedLog) {
        self.lines.finish(&mut |text| log.line(self.name, text));
    }
}

fn stop_signal(name: &str) -> Signal {
    match name {
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "HUP" => Signal::HUP,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        _ => Signal::TERM,
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the command ended with exit code {code}"),
        (None, Some(signal)) => format!("the command was killed by signal {signal}"),
        (None, None) => "the command ended".to_owned(),
    }
}
