//! How a part of the controller can be told to make a mistake, so that tests show that their checks find it.

/// Lets `$mistake`, an enum of the module, be planted; `makes` asks for it. Without the feature `mistakes` nothing can be
/// planted, and what is guarded is dropped.
macro_rules! plantable {
    ($mistake:ident) => {
        #[cfg(feature = "mistakes")]
        thread_local! {
            static PLANTED: ::std::cell::Cell<Option<$mistake>> = const { ::std::cell::Cell::new(None) };
        }

        /// From now on this thread makes this mistake, or none.
        #[cfg(feature = "mistakes")]
        pub fn plant(mistake: Option<$mistake>) {
            PLANTED.set(mistake);
        }

        #[cfg(feature = "mistakes")]
        pub(super) fn makes(mistake: $mistake) -> bool {
            PLANTED.get() == Some(mistake)
        }

        #[cfg(not(feature = "mistakes"))]
        pub(super) const fn makes(_: $mistake) -> bool {
            false
        }
    };
}

pub(crate) use plantable;
