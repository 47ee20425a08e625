//! The peers' C functions, and the thread's CPU clock.
#![expect(unsafe_code, reason = "the peers are C libraries")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use anyhow::{Context as _, ensure};

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
}

/// Resolve everything at once.
const RTLD_NOW: c_int = 2;
/// CPU time of the calling thread (Linux).
const CLOCK_THREAD_CPUTIME_ID: c_int = 3;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanos: i64,
}

type Handle = *mut c_void;
type FromFile = unsafe extern "C" fn(*const c_char, *mut c_int, *mut Handle) -> c_int;
type FastInit = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    i32,
    *const c_char,
    *mut Handle,
) -> c_int;
type Fast = unsafe extern "C" fn(Handle, *const c_void, *mut i64, *mut f64) -> c_int;
type Free = unsafe extern "C" fn(Handle) -> c_int;
type ForestRoot = unsafe extern "C" fn(*const f64, *mut f64, i32, i32);

/// A model in LightGBM, ready for `LGBM_BoosterPredictForMatSingleRowFast` with raw scores.
pub struct LightGbm {
    booster: Handle,
    prepared: Handle,
    fast: Fast,
    free: Free,
    free_prepared: Free,
}

impl LightGbm {
    pub fn load(library: &str, model: &Path) -> anyhow::Result<LightGbm> {
        let library = open(Path::new(library)).context("LightGBM's library")?;
        let file = c_string(model)?;
        let (mut booster, mut prepared, mut rounds) =
            (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        // SAFETY: the types are those of LightGBM's c_api.h, version 4; the pointers outlive the calls.
        unsafe {
            let from_file: FromFile =
                std::mem::transmute(symbol(library, c"LGBM_BoosterCreateFromModelfile")?);
            let init: FastInit = std::mem::transmute(symbol(
                library,
                c"LGBM_BoosterPredictForMatSingleRowFastInit",
            )?);
            ensure!(
                from_file(file.as_ptr(), &mut rounds, &mut booster) == 0,
                "not loaded"
            );
            let (raw_score, all, float64) = (1, -1, 1);
            let one_thread = c"num_threads=1".as_ptr();
            let status = init(
                booster,
                raw_score,
                0,
                all,
                float64,
                40,
                one_thread,
                &mut prepared,
            );
            ensure!(status == 0, "not prepared");
            Ok(LightGbm {
                booster,
                prepared,
                fast: std::mem::transmute::<Handle, Fast>(symbol(
                    library,
                    c"LGBM_BoosterPredictForMatSingleRowFast",
                )?),
                free: std::mem::transmute::<Handle, Free>(symbol(library, c"LGBM_BoosterFree")?),
                free_prepared: std::mem::transmute::<Handle, Free>(symbol(
                    library,
                    c"LGBM_FastConfigFree",
                )?),
            })
        }
    }

    pub fn score(&self, row: &[f64]) -> f64 {
        let (mut length, mut raw) = (0, f64::NAN);
        // SAFETY: the row has the 40 numbers that it was prepared for; the result is one number.
        unsafe { (self.fast)(self.prepared, row.as_ptr().cast(), &mut length, &mut raw) };
        raw
    }
}

impl Drop for LightGbm {
    fn drop(&mut self) {
        // SAFETY: made by `load`, freed once.
        unsafe {
            (self.free_prepared)(self.prepared);
            (self.free)(self.booster);
        }
    }
}

/// A model compiled by lleaves.
pub struct Lleaves(ForestRoot);

impl Lleaves {
    pub fn load(library: &Path) -> Option<Lleaves> {
        let library = open(library).ok()?;
        let root = symbol(library, c"forest_root").ok()?;
        // SAFETY: lleaves gives this function this type.
        Some(Lleaves(unsafe {
            std::mem::transmute::<Handle, ForestRoot>(root)
        }))
    }

    pub fn score(&self, rows: &[f64], out: &mut [f64]) {
        let count = i32::try_from(out.len()).expect("a few hundred");
        // SAFETY: there is a row of inputs for each result.
        unsafe { (self.0)(rows.as_ptr(), out.as_mut_ptr(), 0, count) }
    }
}

/// CPU time of this thread so far, in nanoseconds.
pub fn cpu_ns() -> f64 {
    let mut time = Timespec {
        seconds: 0,
        nanos: 0,
    };
    // SAFETY: the clock writes a `Timespec`.
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.seconds as f64 * 1e9 + time.nanos as f64
}

fn open(file: &Path) -> anyhow::Result<Handle> {
    // SAFETY: the file is a library that the benchmark itself installed or linked.
    let library = unsafe { dlopen(c_string(file)?.as_ptr(), RTLD_NOW) };
    ensure!(!library.is_null(), "{} does not open", file.display());
    Ok(library)
}

fn symbol(library: Handle, name: &CStr) -> anyhow::Result<Handle> {
    // SAFETY: the library is open and stays so.
    let symbol = unsafe { dlsym(library, name.as_ptr()) };
    ensure!(!symbol.is_null(), "no {name:?}");
    Ok(symbol)
}

fn c_string(file: &Path) -> anyhow::Result<CString> {
    Ok(CString::new(file.as_os_str().as_encoded_bytes())?)
}
