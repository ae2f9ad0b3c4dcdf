{{/* What the hub does where its servers are: rules of a Role, or of the ClusterRole with a namespace for each user. */}}
{{- define "gpuspawner.rbac.serverRules" -}}
{{- $facts := include "gpuspawner.rbac.facts" . | fromJson }}
# Servers: launched, found again after a restart, told when they end, stopped.
- apiGroups: [""]
  resources: [pods]
  verbs: [create, delete, get, patch]
{{- if not (or $facts.clusterWide $facts.userNamespaces) }}
# Where its servers stand.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
# Why a server ended: the last lines of its log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# What a launch waits for.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
{{- if $facts.secrets }}
# A server's token (gpuspawner.token_in_secret) and certificates (internal_ssl), in a Secret of its own.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete, get]
{{- end }}
{{- if $facts.claims }}
# Homes (gpuspawner.storage).
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get{{ if $facts.makesClaims }}, create{{ end }}{{ if $facts.deletesClaims }}, delete, list{{ end }}]
{{- end }}
{{- if $facts.services }}
# A Service for each server (gpuspawner.services, internal_ssl).
- apiGroups: [""]
  resources: [services]
  verbs: [create, delete, get]
{{- end }}
{{- if $facts.devices }}
# A template of the devices that a server asks for (device_class of a GPU class).
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [create, delete, get]
{{- if not (or $facts.clusterWide $facts.userNamespaces) }}
# Which devices its servers got.
- apiGroups: [resource.k8s.io]
  resources: [resourceclaims]
  verbs: [list, watch]
{{- end }}
{{- end }}
{{- if $facts.kueue }}
# Who is ahead of a launch that waits in a queue of Kueue's (the label kueue.x-k8s.io/queue-name in a patch of the pod).
- apiGroups: [visibility.kueue.x-k8s.io]
  resources: [localqueues/pendingworkloads]
  verbs: [get]
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the hub does in the whole cluster; empty where it does nothing there. */}}
{{- define "gpuspawner.rbac.clusterRules" -}}
{{- $facts := include "gpuspawner.rbac.facts" . | fromJson }}
{{- if $facts.clusterWide }}
# How many GPUs there are (capacity.clusterWide).
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
{{- if or $facts.clusterWide $facts.userNamespaces }}
# {{ if $facts.userNamespaces }}Where its servers stand{{ else }}How many GPUs are taken (capacity.clusterWide){{ end }}.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- if $facts.devices }}
# Which devices are taken.
- apiGroups: [resource.k8s.io]
  resources: [resourceclaims]
  verbs: [list, watch]
{{- end }}
{{- end }}
{{- if $facts.devices }}
# Which devices there are (device_class of a GPU class).
- apiGroups: [resource.k8s.io]
  resources: [deviceclasses, resourceslices]
  verbs: [list, watch]
{{- end }}
{{- if $facts.userNamespaces }}
# A namespace for each user (gpuspawner.user_namespaces).
- apiGroups: [""]
  resources: [namespaces]
  verbs: [create, get{{ if $facts.deletesNamespaces }}, delete{{ end }}]
{{- range $kind, $resource := include "gpuspawner.rbac.namespaceObjects" . | fromJson }}
# A {{ $kind }} in each of them (gpuspawner.user_namespaces.objects and the chart's own).
- apiGroups: [{{ if eq $kind "NetworkPolicy" }}networking.k8s.io{{ else }}""{{ end }}]
  resources: [{{ $resource }}]
  verbs: [create, patch]
{{- end }}
{{ include "gpuspawner.rbac.serverRules" . | trim }}
{{- end }}
{{- with .Values.rbac.extraClusterRules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Kinds of what the namespace of each user has besides, as JSON: {kind: resource}. */}}
{{- define "gpuspawner.rbac.namespaceObjects" -}}
{{- $resources := dict "ConfigMap" "configmaps" "LimitRange" "limitranges" "NetworkPolicy" "networkpolicies" "ResourceQuota" "resourcequotas" }}
{{- $section := include "gpuspawner.section" . | fromYaml }}
{{- $own := dig "GPUSpawner" "user_namespaces" $section.user_namespaces .Values.hub.config | default dict }}
{{- $found := dict }}
{{- range concat (include "gpuspawner.namespaceObjects" . | fromJsonArray) ($own.objects | default list) }}
{{- $_ := set $found .kind (get $resources .kind) }}
{{- end }}
{{- toJson $found }}
{{- end }}
