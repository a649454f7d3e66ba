//! The figures of the bus itself, for browsers and for Prometheus: there if the features are.

use std::net::SocketAddr;

/// Whether this program was built with something to serve.
pub(crate) const ARE_SERVED: bool = cfg!(any(feature = "prometheus", feature = "console"));
/// What to do if it was not.
pub(crate) const BUILD_WITH: &str = "a build with `--features prometheus,console`";

#[cfg(any(feature = "prometheus", feature = "console"))]
mod served {
    use super::SocketAddr;
    use stasis_bus::Bus;
    use stasis_bus::http::Server;

    /// Until it is dropped.
    pub(crate) struct Figures(Server);

    impl Figures {
        pub(crate) fn serve(bus: &Bus, address: SocketAddr) -> Result<Self, stasis_bus::Error> {
            Ok(Self(Server::builder(bus).listen(address.to_string()).start()?))
        }

        pub(crate) fn address(&self) -> SocketAddr {
            self.0.address()
        }

        pub(crate) fn stop(self) {
            self.0.stop();
        }
    }
}

#[cfg(not(any(feature = "prometheus", feature = "console")))]
mod served {
    use super::{BUILD_WITH, SocketAddr};
    use stasis_bus::Bus;

    /// There are none.
    pub(crate) enum Figures {}

    impl Figures {
        pub(crate) fn serve(_: &Bus, _: SocketAddr) -> Result<Self, String> {
            Err(format!("figures need {BUILD_WITH}"))
        }

        pub(crate) fn address(&self) -> SocketAddr {
            match *self {}
        }

        pub(crate) fn stop(self) {
            match self {}
        }
    }
}

pub(crate) use served::Figures;
