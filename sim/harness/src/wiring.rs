//! Fills the registry of named handlers with the pipeline's code, and gives the stores its detection of personal data. The one
//! place where the two halves are joined.

use std::path::PathBuf;
use std::sync::Arc;

use lakebed_contract::{Clock, Endpoints, EventSink, HandlerRegistry, Lake, PiiDetector, PiiEntity, Secret, Seed};
use lakebed_ingest::IngestContext;
use lakebed_mask::{Finding, MaskKey, Masker, Scanner};
use lakebed_warehouse::WarehouseContext;

/// Memory DuckDB may use in one process, MiB.
pub const DUCKDB_MEMORY_MIB: u64 = 256;

/// The mask key and its version.
#[derive(Clone, Debug)]
pub struct MaskSecret {
    /// Stands in every token, so that tokens of two keys are told apart.
    pub version: u32,
    /// 256 bits.
    pub key: Secret<[u8; 32]>,
}

impl MaskSecret {
    /// A key for generated data: follows from the seed, so a run can be repeated token for token. Never for real data.
    pub fn for_generated_data(seed: Seed) -> Self {
        let mut key = [0u8; 32];
        rand_core_fill(seed, &mut key);
        Self { version: 1, key: Secret::new(key) }
    }

    /// The key of a provider.
    pub fn of(key: &MaskKey) -> Self {
        Self { version: key.version(), key: Secret::new(*key.expose()) }
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(version: u32, hex: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.trim().as_bytes()).ok()?;
        Some(Self { version, key: Secret::new(bytes.try_into().ok()?) })
    }

    /// As 64 hexadecimal digits, for a worker's standard input only.
    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(self.key.expose())
    }
}

fn rand_core_fill(seed: Seed, key: &mut [u8; 32]) {
    use rand::RngCore;
    seed.rng("mask-key/generated-data").fill_bytes(key);
}

/// What the pipeline's handlers are made from.
#[derive(Clone, Debug)]
pub struct PipelineParts {
    /// The lake.
    pub lake: Arc<Lake>,
    /// The stores.
    pub endpoints: Endpoints,
    /// The mask key.
    pub mask: MaskSecret,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub seed: Seed,
    /// Where events go.
    pub events: EventSink,
    /// Folder for spools.
    pub scratch: PathBuf,
}

/// The warehouse side of the parts, for handlers and for queries.
pub fn warehouse_context(parts: &PipelineParts) -> WarehouseContext {
    WarehouseContext {
        lake: Arc::clone(&parts.lake),
        endpoints: parts.endpoints.clone(),
        clock: parts.clock.clone(),
        seed: parts.seed,
        events: parts.events.clone(),
        scratch_dir: parts.scratch.clone(),
        memory_limit_mib: DUCKDB_MEMORY_MIB,
    }
}

/// Every handler of the pipeline by its AWS name.
pub fn pipeline_registry(parts: &PipelineParts) -> HandlerRegistry {
    let ingest = IngestContext {
        lake: Arc::clone(&parts.lake),
        endpoints: parts.endpoints.clone(),
        clock: parts.clock.clone(),
        masker: Masker::new(MaskKey::new(parts.mask.version, *parts.mask.key.expose())),
        events: parts.events.clone(),
        scratch_dir: parts.scratch.clone(),
    };
    let mut registry = HandlerRegistry::default();
    let warehouse = lakebed_warehouse::handlers(Arc::new(warehouse_context(parts)));
    for (name, handler) in lakebed_ingest::handlers(Arc::new(ingest)).into_iter().chain(warehouse) {
        registry.register(name, handler);
    }
    registry
}

/// What redacts free text on its way to bronze, as a detector: every kind, names and addresses included.
pub fn pii_detector() -> Arc<dyn PiiDetector> {
    Arc::new(ScannerOfTexts(Scanner::default()))
}

#[derive(Debug)]
struct ScannerOfTexts(Scanner);

impl PiiDetector for ScannerOfTexts {
    fn detect(&self, text: &str) -> Vec<PiiEntity> {
        let mut found = Vec::new();
        self.0.scan(text, &mut found);
        let entity = |Finding { kind, start, end, score }| PiiEntity { name: kind.name(), score, begin: start, end };
        found.into_iter().map(entity).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_find_what_masking_finds() {
        let text = "É aqui: mail ana@example.com, CPF 529.982.247-25";
        let found = pii_detector().detect(text);
        let found: Vec<_> = found.iter().map(|entity| (entity.name, &text[entity.begin..entity.end])).collect();
        assert_eq!(found, [("EMAIL", "ana@example.com"), ("BR_CPF", "529.982.247-25")]);
    }

    #[test]
    fn the_key_of_generated_data_follows_from_the_seed_and_is_not_shown() {
        let key = MaskSecret::for_generated_data(Seed(7));
        assert_eq!(key.to_hex(), MaskSecret::for_generated_data(Seed(7)).to_hex());
        assert_ne!(key.to_hex(), MaskSecret::for_generated_data(Seed(8)).to_hex());
        assert!(!format!("{key:?}").contains(&key.to_hex()[..8]));
        assert_eq!(MaskSecret::from_hex(1, &key.to_hex()).expect("own form").to_hex(), key.to_hex());
        assert!(MaskSecret::from_hex(1, "abc").is_none());
    }
}
