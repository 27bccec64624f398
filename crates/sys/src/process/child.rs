//! The child between clone and execve.
//!
//! It runs on its own small stack in the parent's memory while the calling thread is suspended, other threads go on. So
//! it allocates nothing, takes no lock, runs no destructor and calls nothing but system calls; all that it needs has
//! been made ready in a [`Plan`] by the parent.

use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::{Child, Spawn, SpawnError, Stdio};

/// Deep enough for the few frames below, in debug builds too.
const STACK_SIZE: usize = 64 * 1024;
const LAST_SIGNAL: c_int = 64;

/// What the child does, as plain numbers and pointers, and where it says what failed.
struct Plan {
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    cwd: *const c_char,
    /// (source, target, scratch): the scratch is the child's own copy of a source that lies in the targets' range.
    moves: *mut Move,
    moves_len: usize,
    /// Numbers up to this one are targets: sources are moved above it first.
    highest_target: c_int,
    new_process_group: bool,
    setsid: bool,
    death_signal: c_int,
    parent: libc::pid_t,
    oom_score_adj: *const c_char,
    /// Null, or [`PID_DIGITS`] + 1 bytes at the end of an entry of `envp`, for the child's pid and a NUL.
    pid_digits: *mut u8,
    failed: Step,
    errno: c_int,
}

struct Move {
    source: c_int,
    target: c_int,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Session,
    DeathSignal,
    ParentGone,
    Descriptors,
    WorkingDirectory,
    Execute,
}

/// Starts `spawn` and returns when execve has succeeded in the child.
pub(super) fn start(spawn: Spawn) -> io::Result<Child> {
    let program = spawn.program.clone();
    let prepared =
        Prepared::new(spawn).map_err(|e| SpawnError::wrap("prepare the start of", &program, e))?;
    let cwd =
        prepared.cwd.as_ref().map(|c| Path::new(OsStr::from_bytes(c.as_bytes())).to_path_buf());
    match prepared.clone_and_exec() {
        Ok(child) => Ok(child),
        Err((Step::WorkingDirectory, e)) => {
            let dir = cwd.unwrap_or_default();
            Err(SpawnError::wrap("start a program in the directory", &dir, e))
        }
        Err((Step::Execute, e)) => Err(SpawnError::wrap("execute", &program, e)),
        Err((Step::Session, e)) => Err(SpawnError::wrap("make a session for", &program, e)),
        Err((Step::DeathSignal | Step::ParentGone, e)) => {
            Err(SpawnError::wrap("set the death signal of", &program, e))
        }
        Err((Step::Descriptors, e)) => {
            Err(SpawnError::wrap("pass the descriptors of", &program, e))
        }
        Err((Step::Nothing, e)) => Err(SpawnError::wrap("make a process for", &program, e)),
    }
}

/// Owns what a [`Plan`] points to.
struct Prepared {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// `NAME=` and room for a pid.
    pid_entry: Option<Vec<u8>>,
    cwd: Option<CString>,
    moves: Vec<Move>,
    /// Keeps the sources open until the child has them.
    _fds: Vec<OwnedFd>,
    new_process_group: bool,
    setsid: bool,
    death_signal: Option<i32>,
    oom_score_adj: Option<CString>,
}

impl Prepared {
    fn new(spawn: Spawn) -> io::Result<Prepared> {
        let program = c_string(spawn.program.as_os_str())?;
        let mut argv = vec![spawn.arg0.as_deref().map_or_else(|| Ok(program.clone()), c_string)?];
        for arg in &spawn.args {
            argv.push(c_string(arg)?);
        }
        let mut env = Vec::with_capacity(spawn.env.len());
        for (name, value) in &spawn.env {
            if spawn.pid_variable.as_ref() == Some(name) {
                continue;
            }
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(invalid(format!(
                    "{} cannot name an environment variable",
                    name.display()
                )));
            }
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            env.push(c_string(&entry)?);
        }
        let pid_entry = spawn.pid_variable.as_deref().map(pid_entry).transpose()?;
        let cwd = spawn.cwd.as_deref().map(|dir| c_string(dir.as_os_str())).transpose()?;
        let (moves, fds) = descriptors(spawn.stdin, spawn.stdout, spawn.stderr, spawn.fds)?;
        Ok(Prepared {
            program,
            argv,
            env,
            pid_entry,
            cwd,
            moves,
            _fds: fds,
            new_process_group: spawn.new_process_group,
            setsid: spawn.setsid,
            death_signal: spawn.death_signal,
            oom_score_adj: spawn
                .oom_score_adj
                .map(|n| c_string(OsStr::new(&n.to_string())))
                .transpose()?,
        })
    }

    fn clone_and_exec(mut self) -> Result<Child, (Step, io::Error)> {
        let argv = pointers(&self.argv);
        let mut envp = pointers(&self.env);
        let mut pid_digits = ptr::null_mut();
        if let Some(entry) = &mut self.pid_entry {
            let digits = entry.len() - (PID_DIGITS + 1);
            let start = entry.as_mut_ptr();
            envp.insert(0, start.cast_const().cast());
            // SAFETY: within the entry, which has that many bytes behind its name.
            pid_digits = unsafe { start.add(digits) };
        }
        let mut plan = Plan {
            program: self.program.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            cwd: self.cwd.as_ref().map_or(ptr::null(), |c| c.as_ptr()),
            moves: self.moves.as_mut_ptr(),
            moves_len: self.moves.len(),
            highest_target: self.moves.iter().map(|m| m.target).max().unwrap_or(2),
            new_process_group: self.new_process_group,
            setsid: self.setsid,
            death_signal: self.death_signal.unwrap_or(0),
            // pids fit: the kernel's limit is 2^22.
            parent: std::process::id().cast_signed(),
            oom_score_adj: self.oom_score_adj.as_ref().map_or(ptr::null(), |n| n.as_ptr()),
            pid_digits,
            failed: Step::Nothing,
            errno: 0,
        };
        let signals = BlockedSignals::new().map_err(|e| (Step::Nothing, e))?;
        let cloned = vfork_into(&mut plan);
        drop(signals);
        let child = cloned.map_err(|e| (Step::Nothing, e))?;
        if plan.failed == Step::Nothing {
            return Ok(child);
        }
        let error = io::Error::from_raw_os_error(plan.errno);
        // It has ended; take it out of the process table.
        drop(child.wait());
        Err((plan.failed, error))
    }
}

/// Digits of the largest pid.
const PID_DIGITS: usize = 10;

/// An entry of the environment whose value the child writes.
fn pid_entry(name: &OsStr) -> io::Result<Vec<u8>> {
    let mut entry = c_string(name)?.into_bytes();
    if entry.is_empty() || entry.contains(&b'=') {
        return Err(invalid(format!("{} cannot name an environment variable", name.display())));
    }
    entry.push(b'=');
    entry.extend_from_slice(&[0; PID_DIGITS + 1]);
    Ok(entry)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| invalid(format!("a NUL byte in {}", text.display())))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

fn descriptors(
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    others: Vec<(OwnedFd, i32)>,
) -> io::Result<(Vec<Move>, Vec<OwnedFd>)> {
    let (mut moves, mut fds) = (Vec::new(), Vec::new());
    for (stdio, target) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        let source = match stdio {
            Stdio::Inherit => target,
            Stdio::Fd(fd) => keep(&mut fds, fd),
            Stdio::Null => {
                let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
                keep(&mut fds, null.into())
            }
        };
        moves.push(Move { source, target });
    }
    for (fd, target) in others {
        if target < 3 || moves.iter().any(|m| m.target == target) {
            return Err(invalid(format!("descriptor number {target} is below 3 or given twice")));
        }
        moves.push(Move { source: keep(&mut fds, fd), target });
    }
    Ok((moves, fds))
}

fn keep(fds: &mut Vec<OwnedFd>, fd: OwnedFd) -> c_int {
    let number = fd.as_raw_fd();
    fds.push(fd);
    number
}

/// All signals blocked in this thread: none may be handled by the child while it still has our handlers and memory.
struct BlockedSignals(nix::sys::signal::SigSet);

impl BlockedSignals {
    fn new() -> io::Result<Self> {
        use nix::sys::signal::{SigSet, SigmaskHow};
        Ok(BlockedSignals(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?))
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let restored = self.0.thread_set_mask();
        debug_assert!(restored.is_ok(), "the set came from the kernel");
    }
}

/// Returns after the child has called execve or ended; in the second case `plan.failed` says why.
fn vfork_into(plan: &mut Plan) -> io::Result<Child> {
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_SIZE / size_of::<u128>());
    let mut pidfd: c_int = -1;
    // SAFETY: one past the end of the allocation, which is what clone wants where stacks grow downwards (every
    // architecture Rust has a Linux target for); 16-aligned because its elements are.
    let top = unsafe { stack.as_mut_ptr().add(stack.capacity()) };
    // SAFETY: CLONE_VFORK suspends this thread until the child no longer uses our memory, so stack, plan and all that it
    // points to outlive the child's use of them; `run_child` keeps to what the module's head says. Without CLONE_FILES,
    // CLONE_SIGHAND and CLONE_FS the child changes only its own tables. CLONE_PIDFD stores into `pidfd`, a valid c_int.
    let pid = unsafe {
        libc::clone(
            run_child,
            top.cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
            ptr::from_mut(plan).cast::<c_void>(),
            &raw mut pidfd,
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clone succeeded, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

extern "C" fn run_child(plan: *mut c_void) -> c_int {
    // SAFETY: the pointer is the `&mut Plan` given to clone; the thread that owns it is suspended until we are done.
    let plan = unsafe { &mut *plan.cast::<Plan>() };
    // execve does not return when it succeeds.
    if let Err(step) = run_plan(plan) {
        plan.failed = step;
        plan.errno = errno();
    }
    // Ends this process only, without the parent's atexit handlers.
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(127) }
}

fn errno() -> c_int {
    // Plain thread-local memory; the child uses the suspended parent thread's.
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn run_plan(plan: &mut Plan) -> Result<(), Step> {
    reset_handlers();
    // SAFETY: setsid has no preconditions.
    if plan.setsid && unsafe { libc::setsid() } < 0 {
        return Err(Step::Session);
    }
    // SAFETY: setpgid has no preconditions.
    if plan.new_process_group && !plan.setsid && unsafe { libc::setpgid(0, 0) } < 0 {
        return Err(Step::Session);
    }
    // SAFETY: the moves were made by the parent, are `moves_len` long and used by nobody else meanwhile.
    let moves = unsafe { std::slice::from_raw_parts_mut(plan.moves, plan.moves_len) };
    pass_descriptors(moves, plan.highest_target)?;
    // SAFETY: `cwd` is null or a C string of the parent's.
    if !plan.cwd.is_null() && unsafe { libc::chdir(plan.cwd) } < 0 {
        return Err(Step::WorkingDirectory);
    }
    if plan.death_signal > 0 {
        set_death_signal(plan.death_signal, plan.parent)?;
    }
    if !plan.oom_score_adj.is_null() {
        set_oom_score(plan.oom_score_adj);
    }
    if !plan.pid_digits.is_null() {
        // SAFETY: so many bytes of the parent's, which nobody else uses meanwhile.
        let digits = unsafe { std::slice::from_raw_parts_mut(plan.pid_digits, PID_DIGITS + 1) };
        // SAFETY: getpid has no preconditions.
        write_pid(digits, unsafe { libc::getpid() }.unsigned_abs());
    }
    unblock_signals();
    // SAFETY: all three are C strings or null-terminated arrays of them, owned by the suspended parent.
    unsafe { libc::execve(plan.program, plan.argv, plan.envp) };
    Err(Step::Execute)
}

/// Decimal, with a NUL behind it.
fn write_pid(to: &mut [u8], pid: u32) {
    let mut divisor = 10_u32.pow(pid.checked_ilog10().unwrap_or(0));
    let mut digits = to.iter_mut();
    while let (Some(digit), 1..) = (digits.next(), divisor) {
        *digit = b'0' + ((pid / divisor) % 10).to_le_bytes()[0];
        divisor /= 10;
    }
    // The rest of the entry is NUL bytes.
}

/// Default action for every signal, ignored ones included: execve keeps what is ignored (Rust ignores SIGPIPE).
fn reset_handlers() {
    // The kernel's struct, not libc's, whose wrapper leaves signals 32 and 33 as they are. All zero: SIG_DFL, no flags,
    // no restorer, an empty mask; larger than the struct is on any architecture.
    let action = [0_u64; 8];
    const SIGNAL_SET_BYTES: usize = 8;
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the action is valid and only read; KILL and STOP are refused, which is as good.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                ptr::null_mut::<u64>(),
                SIGNAL_SET_BYTES,
            )
        };
    }
}

fn unblock_signals() {
    // SAFETY: an all-zero set is a valid value to be overwritten.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: points to a sigset_t.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: the set is initialised; the old one is not wanted. It is the child's own mask.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

fn set_death_signal(signal: c_int, parent: libc::pid_t) -> Result<(), Step> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } < 0 {
        return Err(Step::DeathSignal);
    }
    // The parent is suspended in clone, but may have been killed before the prctl took effect.
    // SAFETY: getppid has no preconditions.
    if unsafe { libc::getppid() } != parent {
        return Err(Step::ParentGone);
    }
    Ok(())
}

/// Best effort: what the kernel refuses stays as it was.
fn set_oom_score(score: *const c_char) {
    // SAFETY: the path is a C string; the descriptor is closed on exec.
    let fd = unsafe {
        libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC)
    };
    if fd >= 0 {
        // SAFETY: a C string of the parent's.
        let length = unsafe { libc::strlen(score) };
        // SAFETY: `length` bytes of it are readable.
        unsafe { libc::write(fd, score.cast::<c_void>(), length) };
    }
}

/// Everything above the standard streams becomes close-on-exec, then the listed ones are put in their places.
fn pass_descriptors(moves: &mut [Move], highest_target: c_int) -> Result<(), Step> {
    close_on_exec_from(3);
    for m in moves.iter_mut() {
        if m.source != m.target && m.source <= highest_target {
            // The number is, or may be, somebody's target.
            // SAFETY: duplicating a descriptor number has no memory effects.
            m.source = unsafe { libc::fcntl(m.source, libc::F_DUPFD_CLOEXEC, highest_target + 1) };
            if m.source < 0 {
                return Err(Step::Descriptors);
            }
        }
    }
    for m in moves.iter() {
        let result = if m.source == m.target {
            // dup2 onto itself would leave close-on-exec set. An inherited stream may be closed: then it stays so.
            // SAFETY: changes a flag of the child's own table.
            let result = unsafe { libc::fcntl(m.target, libc::F_SETFD, 0) };
            if m.target <= 2 { 0 } else { result }
        } else {
            // SAFETY: as above; the source is above all targets and open.
            unsafe { libc::dup2(m.source, m.target) }
        };
        if result < 0 {
            return Err(Step::Descriptors);
        }
    }
    Ok(())
}

fn close_on_exec_from(first: c_int) {
    // SAFETY: close_range with this flag changes flags in the child's own descriptor table only.
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, first, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if done == 0 {
        return;
    }
    // Before Linux 5.11: one by one, up to the limit (what was opened before the limit was lowered can be above; 5.11
    // is what closes that).
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: points to a valid rlimit.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let last = c_int::try_from(limit.rlim_cur.min(1 << 20)).unwrap_or(c_int::MAX);
    for fd in first..last {
        // SAFETY: sets a flag in the child's own table; closed numbers answer EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
