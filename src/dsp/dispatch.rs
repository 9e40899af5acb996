//! Run-time dispatch of inner loops by instruction set.

/// Definition of functions that are compiled twice, the second time for AVX2, which is chosen at run time where the
/// machine has it.
macro_rules! kernels {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    portable($($arg),*)
                }
                #[allow(unsafe_code, reason = "a function compiled for AVX2 is unsafe to call unless the machine has it")]
                // SAFETY: the line above has found AVX2 on this machine, and nothing else is asked of the caller.
                return unsafe { avx2($($arg),*) };
            }
            portable($($arg),*)
        }
    )*};
}

pub(crate) use kernels;
