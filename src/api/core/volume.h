#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/core/container.h"
#include "api/core/quantity.h"
#include "api/core/references.h"
#include "api/meta.h"

/// core/v1 volumes.
namespace api {

struct KeyToPath {
  std::string key{};
  std::string path{};
  std::optional<std::int32_t> mode{};
};
template <class V>
void describe(V& v, KeyToPath& k) {
  v.field("key", k.key, Presence::Required, "The key.");
  v.field("path", k.path, Presence::Required, "Relative path of the file.");
  v.field("mode", k.mode, Presence::Optional, "Permission bits.");
}

struct EmptyDirVolumeSource {
  std::string medium{};  ///< "" or Memory.
  std::optional<Quantity> size_limit{};
};
template <class V>
void describe(V& v, EmptyDirVolumeSource& s) {
  v.field("medium", s.medium, Presence::Optional, "Empty for disk, or Memory.");
  v.field("sizeLimit", s.size_limit, Presence::Optional, "The most it may hold.");
}

struct HostPathVolumeSource {
  std::string path{};
  std::optional<std::string> type{};
};
template <class V>
void describe(V& v, HostPathVolumeSource& s) {
  v.field("path", s.path, Presence::Required, "Path on the node.");
  v.field("type", s.type, Presence::Optional, "What must be there: DirectoryOrCreate, File, ...");
}

struct ConfigMapVolumeSource {
  std::string name{};
  std::vector<KeyToPath> items{};
  std::optional<std::int32_t> default_mode{};
  std::optional<bool> optional{};
};
template <class V>
void describe(V& v, ConfigMapVolumeSource& s) {
  v.field("name", s.name, Presence::Optional, "Name of the ConfigMap.");
  v.field("items", s.items, Presence::Optional, "Keys to take; all by default.",
          {.list_type = "atomic"});
  v.field("defaultMode", s.default_mode, Presence::Optional, "Permission bits; 0644.");
  v.field("optional", s.optional, Presence::Optional, "Whether it may be missing.");
}

struct SecretVolumeSource {
  std::string secret_name{};
  std::vector<KeyToPath> items{};
  std::optional<std::int32_t> default_mode{};
  std::optional<bool> optional{};
};
template <class V>
void describe(V& v, SecretVolumeSource& s) {
  v.field("secretName", s.secret_name, Presence::Optional, "Name of the Secret.");
  v.field("items", s.items, Presence::Optional, "Keys to take; all by default.",
          {.list_type = "atomic"});
  v.field("defaultMode", s.default_mode, Presence::Optional, "Permission bits; 0644.");
  v.field("optional", s.optional, Presence::Optional, "Whether it may be missing.");
}

struct PersistentVolumeClaimVolumeSource {
  std::string claim_name{};
  bool read_only = false;
};
template <class V>
void describe(V& v, PersistentVolumeClaimVolumeSource& s) {
  v.field("claimName", s.claim_name, Presence::Required, "Name of the claim.");
  v.field("readOnly", s.read_only, Presence::Optional, "Forbids writing.");
}

struct DownwardApiVolumeFile {
  std::string path{};
  std::optional<ObjectFieldSelector> field_ref{};
  std::optional<ResourceFieldSelector> resource_field_ref{};
  std::optional<std::int32_t> mode{};
};
template <class V>
void describe(V& v, DownwardApiVolumeFile& f) {
  v.field("path", f.path, Presence::Required, "Relative path of the file.");
  v.field("fieldRef", f.field_ref, Presence::Optional, "A field of the pod.");
  v.field("resourceFieldRef", f.resource_field_ref, Presence::Optional,
          "A resource of a container.");
  v.field("mode", f.mode, Presence::Optional, "Permission bits.");
}

struct DownwardApiVolumeSource {
  std::vector<DownwardApiVolumeFile> items{};
  std::optional<std::int32_t> default_mode{};
};
template <class V>
void describe(V& v, DownwardApiVolumeSource& s) {
  v.field("items", s.items, Presence::Optional, "Files to make.", {.list_type = "atomic"});
  v.field("defaultMode", s.default_mode, Presence::Optional, "Permission bits; 0644.");
}

/// A ConfigMap or Secret within a projected volume.
struct ObjectProjection {
  std::string name{};
  std::vector<KeyToPath> items{};
  std::optional<bool> optional{};
};
template <class V>
void describe(V& v, ObjectProjection& p) {
  v.field("name", p.name, Presence::Optional, "Name of the object.");
  v.field("items", p.items, Presence::Optional, "Keys to take; all by default.",
          {.list_type = "atomic"});
  v.field("optional", p.optional, Presence::Optional, "Whether it may be missing.");
}

struct DownwardApiProjection {
  std::vector<DownwardApiVolumeFile> items{};
};
template <class V>
void describe(V& v, DownwardApiProjection& p) {
  v.field("items", p.items, Presence::Optional, "Files to make.", {.list_type = "atomic"});
}

struct ServiceAccountTokenProjection {
  std::string audience{};
  std::optional<std::int64_t> expiration_seconds{};
  std::string path{};
};
template <class V>
void describe(V& v, ServiceAccountTokenProjection& p) {
  v.field("audience", p.audience, Presence::Optional, "Audience of the token.");
  v.field("expirationSeconds", p.expiration_seconds, Presence::Optional, "Life of the token.");
  v.field("path", p.path, Presence::Required, "Relative path of the file.");
}

struct VolumeProjection {
  std::optional<ObjectProjection> config_map{};
  std::optional<ObjectProjection> secret{};
  std::optional<DownwardApiProjection> downward_api{};
  std::optional<ServiceAccountTokenProjection> service_account_token{};
  std::optional<json::Object> cluster_trust_bundle{};
  std::optional<json::Object> pod_certificate{};
};
template <class V>
void describe(V& v, VolumeProjection& p) {
  v.field("configMap", p.config_map, Presence::Optional, "A ConfigMap.");
  v.field("secret", p.secret, Presence::Optional, "A Secret.");
  v.field("downwardAPI", p.downward_api, Presence::Optional, "Fields of the pod.");
  v.field("serviceAccountToken", p.service_account_token, Presence::Optional,
          "A token of the pod's service account.");
  v.field("clusterTrustBundle", p.cluster_trust_bundle, Presence::Optional, "Trusted roots.");
  v.field("podCertificate", p.pod_certificate, Presence::Optional, "A certificate of the pod.");
}

struct ProjectedVolumeSource {
  std::vector<VolumeProjection> sources{};
  std::optional<std::int32_t> default_mode{};
};
template <class V>
void describe(V& v, ProjectedVolumeSource& s) {
  v.field("sources", s.sources, Presence::Optional, "What is put together.",
          {.list_type = "atomic"});
  v.field("defaultMode", s.default_mode, Presence::Optional, "Permission bits; 0644.");
}

struct ImageVolumeSource {
  std::string reference{};
  std::string pull_policy{};
};
template <class V>
void describe(V& v, ImageVolumeSource& s) {
  v.field("reference", s.reference, Presence::Optional, "Reference of an OCI object.");
  v.field("pullPolicy", s.pull_policy, Presence::Optional, "Always, IfNotPresent or Never.");
}

struct NfsVolumeSource {
  std::string server{};
  std::string path{};
  bool read_only = false;
};
template <class V>
void describe(V& v, NfsVolumeSource& s) {
  v.field("server", s.server, Presence::Required, "Host name or address.");
  v.field("path", s.path, Presence::Required, "Exported path.");
  v.field("readOnly", s.read_only, Presence::Optional, "Forbids writing.");
}

/// Where the content of a volume comes from: exactly one member is set. The
/// members from `csi` on are carried along unread.
struct VolumeSource {
  std::optional<EmptyDirVolumeSource> empty_dir{};
  std::optional<HostPathVolumeSource> host_path{};
  std::optional<ConfigMapVolumeSource> config_map{};
  std::optional<SecretVolumeSource> secret{};
  std::optional<ProjectedVolumeSource> projected{};
  std::optional<DownwardApiVolumeSource> downward_api{};
  std::optional<PersistentVolumeClaimVolumeSource> persistent_volume_claim{};
  std::optional<ImageVolumeSource> image{};
  std::optional<NfsVolumeSource> nfs{};
  std::optional<json::Object> csi{};
  std::optional<json::Object> ephemeral{};
  std::optional<json::Object> azure_file{};
  std::optional<json::Object> azure_disk{};
  std::optional<json::Object> aws_elastic_block_store{};
  std::optional<json::Object> cephfs{};
  std::optional<json::Object> cinder{};
  std::optional<json::Object> fc{};
  std::optional<json::Object> flex_volume{};
  std::optional<json::Object> flocker{};
  std::optional<json::Object> gce_persistent_disk{};
  std::optional<json::Object> git_repo{};
  std::optional<json::Object> glusterfs{};
  std::optional<json::Object> iscsi{};
  std::optional<json::Object> photon_persistent_disk{};
  std::optional<json::Object> portworx_volume{};
  std::optional<json::Object> quobyte{};
  std::optional<json::Object> rbd{};
  std::optional<json::Object> scale_io{};
  std::optional<json::Object> storageos{};
  std::optional<json::Object> vsphere_volume{};
};
template <class V>
void describe_members(V& v, VolumeSource& s) {
  v.field("emptyDir", s.empty_dir, Presence::Optional, "Scratch space with the pod's life.");
  v.field("hostPath", s.host_path, Presence::Optional, "A path of the node.");
  v.field("configMap", s.config_map, Presence::Optional, "A ConfigMap as files.");
  v.field("secret", s.secret, Presence::Optional, "A Secret as files.");
  v.field("projected", s.projected, Presence::Optional, "Several sources in one directory.");
  v.field("downwardAPI", s.downward_api, Presence::Optional, "Fields of the pod as files.");
  v.field("persistentVolumeClaim", s.persistent_volume_claim, Presence::Optional, "A claim.");
  v.field("image", s.image, Presence::Optional, "An OCI image or artifact as files.");
  v.field("nfs", s.nfs, Presence::Optional, "A network file system.");
  v.field("csi", s.csi, Presence::Optional, "A volume of a CSI driver.");
  v.field("ephemeral", s.ephemeral, Presence::Optional, "A claim with the pod's life.");
  v.field("azureFile", s.azure_file, Presence::Optional, "An Azure file share.");
  v.field("azureDisk", s.azure_disk, Presence::Optional, "An Azure disk.");
  v.field("awsElasticBlockStore", s.aws_elastic_block_store, Presence::Optional, "An EBS disk.");
  v.field("cephfs", s.cephfs, Presence::Optional, "A Ceph file system.");
  v.field("cinder", s.cinder, Presence::Optional, "An OpenStack disk.");
  v.field("fc", s.fc, Presence::Optional, "A Fibre Channel disk.");
  v.field("flexVolume", s.flex_volume, Presence::Optional, "A volume of a FlexVolume driver.");
  v.field("flocker", s.flocker, Presence::Optional, "A Flocker volume.");
  v.field("gcePersistentDisk", s.gce_persistent_disk, Presence::Optional, "A Google Cloud disk.");
  v.field("gitRepo", s.git_repo, Presence::Optional, "A Git repository.");
  v.field("glusterfs", s.glusterfs, Presence::Optional, "A Gluster file system.");
  v.field("iscsi", s.iscsi, Presence::Optional, "An iSCSI disk.");
  v.field("photonPersistentDisk", s.photon_persistent_disk, Presence::Optional, "A Photon disk.");
  v.field("portworxVolume", s.portworx_volume, Presence::Optional, "A Portworx volume.");
  v.field("quobyte", s.quobyte, Presence::Optional, "A Quobyte volume.");
  v.field("rbd", s.rbd, Presence::Optional, "A Ceph block device.");
  v.field("scaleIO", s.scale_io, Presence::Optional, "A ScaleIO volume.");
  v.field("storageos", s.storageos, Presence::Optional, "A StorageOS volume.");
  v.field("vsphereVolume", s.vsphere_volume, Presence::Optional, "A vSphere disk.");
}
template <class V>
void describe(V& v, VolumeSource& s) {
  describe_members(v, s);
}

struct Volume {
  std::string name{};
  VolumeSource source{};  ///< Inlined in JSON.
};
template <class V>
void describe(V& v, Volume& volume) {
  v.field("name", volume.name, Presence::Required, "DNS label, unique within the pod.");
  describe_members(v, volume.source);
}

}  // namespace api
