//! What depends on the processor, behind one name. Another processor is another file here.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub use x86_64::{CALL_CODE, LIST_CODE, NAME, RED_ZONE, Registers, USER_END, VDSO_CALL, find_instruction, program};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the native engine knows x86_64 only; a processor needs its module in remote/processor");
