//! The CPU time and memory of a process, from `/proc`.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    failure::{failed, late},
    statistics::float,
};
use crate::Error;

/// A process is idle if it used less CPU than this in [`LOOK`]: a watch and timers need some.
const REST_SECONDS: f64 = 0.002;
const LOOK: Duration = Duration::from_millis(300);

/// The memory of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The peak of resident memory (`VmHWM`), in bytes.
    pub(super) peak: f64,
    /// The resident memory (`VmRSS`), in bytes.
    pub(super) resident: f64,
}

/// The name of a process.
pub(super) fn name(process: u32) -> Result<String, Error> {
    let path = format!("/proc/{process}/comm");
    fs::read_to_string(&path).map_err(Error::system(format!("read {path}")))
}

/// The CPU seconds of all threads of a process, in the scheduler's nanoseconds. Exact for idle threads. Ended threads
/// are left out; neither the operator nor the floor ends any.
pub(super) fn cpu_seconds(process: u32) -> Result<f64, Error> {
    let folder = format!("/proc/{process}/task");
    let read = || -> std::io::Result<u64> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(&folder)? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            nanoseconds += first.ok_or_else(|| std::io::Error::other("no scheduler statistics"))?;
        }
        Ok(nanoseconds)
    };
    read()
        .map(|nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64())
        .map_err(Error::system(format!("read {folder}")))
}

/// Waits until a process is idle, and returns its CPU seconds.
pub(super) async fn cpu_seconds_at_rest(process: u32, patience: Duration) -> Result<f64, Error> {
    let began = Instant::now();
    let mut before = cpu_seconds(process)?;
    let mut rests = 0;
    while rests < 3 {
        if began.elapsed() > patience {
            return Err(late(format!("see process {process} at rest"), patience));
        }
        sleep(LOOK).await;
        let now = cpu_seconds(process)?;
        rests = if now - before < REST_SECONDS { rests + 1 } else { 0 };
        before = now;
    }
    Ok(before)
}

/// The number of entries of a folder of `/proc`: `fd` for open files, `task` for threads.
pub(super) fn entries(process: u32, what: &str) -> Result<f64, Error> {
    let folder = format!("/proc/{process}/{what}");
    let count = fs::read_dir(&folder).map_err(Error::system(format!("read {folder}")))?.count();
    Ok(float(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// The memory of a process.
pub(super) fn memory(process: u32) -> Result<Memory, Error> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).map_err(Error::system(format!("read {path}")))?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let kibibytes = kibibytes.ok_or_else(|| failed(format!("read {path}"))(format!("no {name}")))?;
        Ok::<f64, Error>(float(kibibytes) * 1024.0)
    };
    Ok(Memory { peak: bytes("VmHWM")?, resident: bytes("VmRSS")? })
}
