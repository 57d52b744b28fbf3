//! What a kind of flow has to say itself, and what its options decide.

use windlass_core::Blake3;

use super::*;
use crate::delivery::Delivery;
use crate::flows::release::{ReleaseKind, Routed, Scene, any_use, rules_of};

/// All originals under their own names in one folder.
#[derive(Debug)]
struct OneFolder(&'static str);

#[async_trait]
impl ReleaseKind for OneFolder {
    fn name(&self) -> &'static str {
        "one-folder"
    }

    fn rules(&self) -> Result<serde_json::Value> {
        rules_of(&self.0)
    }

    async fn deliveries(&self, flow: &ReleaseFlow, scene: &mut Scene) -> Result<Routed> {
        let selected = scene.selected.iter();
        let deliveries = selected.map(|(id, held)| Delivery {
            asset: id.clone(),
            slot: "original".into(),
            version: None,
            rendition: None,
            folder: flow.options.root.join(self.0),
            file_name: held.asset.path.name().into(),
            uses: any_use(),
            why: "for all".into(),
            stays: false,
            fields: Vec::new(),
        });
        Ok(Routed {
            deliveries: deliveries.collect(),
            ..Routed::default()
        })
    }
}

fn digest(kind: impl ReleaseKind + 'static) -> Blake3 {
    let mut world = World::new();
    world.options.kind = Arc::new(kind);
    world.flow().origin().unwrap().rules
}

#[tokio::test]
async fn a_kind_says_its_deliveries_and_the_flow_does_the_rest() {
    let mut world = World::new();
    world.options.kind = Arc::new(OneFolder("All"));
    let off = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    assert_eq!(world.visible(), ["/Press/All/a.jpg", "/Press/All/b.jpg"]);
    world.switch_off(&off);
    world.options.kind = Arc::new(OneFolder("Elsewhere"));
    world.pass().await;
    assert_eq!(world.visible(), ["/Press/Elsewhere/b.jpg"]);
    assert_eq!(world.kept(), ["/Quarantine/Press/All/a.jpg"]);
    assert!(world.plan().await.is_empty());
}

#[test]
fn the_digest_of_the_rules_covers_a_kind_and_its_options() {
    assert_eq!(digest(OneFolder("a")), digest(OneFolder("a")));
    assert_ne!(digest(OneFolder("a")), digest(OneFolder("b")));
    let named = PublishOptions {
        name: "{stem}.{ext}".parse().unwrap(),
        ..publish()
    };
    assert_ne!(digest(publish()), digest(named));
}
