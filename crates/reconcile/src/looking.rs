//! What is on this host, nginx's configuration and the panel's record together?

use renewal::panel::join;
use renewal::ports::{Clock as _, Host as _, HostFailure, Known, Look, Panel as _};

use crate::world::World;

/// Looks at both.
pub(crate) async fn look<W: World>(world: &W, known: &Known) -> Result<Look, HostFailure> {
    let mut look = world.host().look(known).await?;
    let inventory = world.panel().inventory(known).await;
    join(&mut look, inventory, world.clock().now());
    Ok(look)
}
