//! An OCI image layout (OCI Image Format Specification 1.1, `image-layout.md`) with the module in it, in the "compat"
//! variant of the Wasm Image Specification, which Istio and Envoy Gateway read: one `tar+gzip` layer with `plugin.wasm`,
//! and the annotation `module.wasm.image/variant: compat`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::dist::sha256_hex;

/// Writes the layout. It has no time and no machine in it: the same module gives the same digests.
pub(crate) fn write(layout: &Path, module: &[u8], version: &str) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let put = |media_type: &str, bytes: &[u8]| -> Result<Value> {
        let digest = sha256_hex(bytes);
        std::fs::write(blobs.join(&digest), bytes).with_context(|| format!("cannot write blob {digest}"))?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    };

    let archive = tar(module)?;
    let layer = put("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(&archive)?)?;
    let config = json!({
        "architecture": "wasm",
        "os": "wasip1",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256_hex(&archive))] },
    });
    let config = put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
        "annotations": {
            "module.wasm.image/variant": "compat",
            "org.opencontainers.image.title": "Carded",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    });
    let mut manifest = put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": version });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    std::fs::write(layout.join("index.json"), index.to_string())?;
    std::fs::write(layout.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    println!("{}", index["manifests"][0]["digest"].as_str().unwrap_or_default());
    Ok(())
}

/// One file, owned by nobody in particular, from 1970.
fn tar(module: &[u8]) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "plugin.wasm", module)?;
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    // a fixed operating system byte: "unknown", whatever this runs on
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn digest_of(descriptor: &Value) -> &str {
        descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest")
    }

    /// Goes the way that Istio's fetcher goes: index, manifest, its last layer, `plugin.wasm` in it.
    #[test]
    fn the_module_is_found_as_istio_finds_it() {
        let layout = std::env::temp_dir().join(format!("carded-oci-{}", std::process::id()));
        write(&layout, b"\0asm module", "1.2.3").expect("written");
        let read = |path: &str| std::fs::read(layout.join(path)).expect(path);
        let index: Value = serde_json::from_slice(&read("index.json")).expect("JSON");
        let blob = |descriptor: &Value| {
            let bytes = read(&format!("blobs/sha256/{}", digest_of(descriptor)));
            assert_eq!(sha256_hex(&bytes), digest_of(descriptor));
            assert_eq!(Some(bytes.len() as u64), descriptor["size"].as_u64());
            bytes
        };
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).expect("JSON");
        assert_eq!(manifest["annotations"]["module.wasm.image/variant"], "compat");
        let layers = manifest["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), 1, "the compat variant has exactly one layer");
        assert_eq!(layers[0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).expect("JSON");
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&blob(&layers[0])[..]).read_to_end(&mut archive).expect("gzip");
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256_hex(&archive)));
        let mut archive = tar::Archive::new(&archive[..]);
        let mut entry = archive.entries().expect("a tar").next().expect("a file").expect("a file");
        let mut module = Vec::new();
        entry.read_to_end(&mut module).expect("its bytes");
        assert_eq!((entry.path().expect("a name").to_str(), &module[..]), (Some("plugin.wasm"), &b"\0asm module"[..]));
        std::fs::remove_dir_all(layout).expect("removed");
    }

    #[test]
    fn the_same_module_gives_the_same_bytes() {
        let once = gzip(&tar(b"x").expect("a tar")).expect("gzip");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(once, gzip(&tar(b"x").expect("a tar")).expect("gzip"));
    }
}
