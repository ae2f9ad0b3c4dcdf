{{/*
What of the Kubernetes API the hub uses, as JSON: read from the GPUSpawner section, over which hub.config goes. What
extraConfig does is not seen here: rbac.extraRules is for that.
*/}}
{{- define "gpuspawner.rbac.facts" -}}
{{- $hub := .Values.hub.config | default dict }}
{{- $section := include "gpuspawner.section" . | fromYaml }}
{{- range $trait, $value := $hub.GPUSpawner }}
{{- $_ := set $section $trait $value }}
{{- end }}
{{- $tls := dig "JupyterHub" "internal_ssl" false $hub }}
{{- $namespaces := $section.user_namespaces }}
{{- $ownNamespaces := not (kindIs "invalid" $namespaces) }}
{{- $storage := $section.storage | default dict }}
{{- $keepsHomes := and (not (and (hasKey $section "storage") (kindIs "invalid" $section.storage))) (dig "home" true $storage) }}
{{- $claim := $storage.claim | default "" }}
{{- $byUser := or (not $claim) (regexMatch "[{](userid|(safe_|escaped_)?(username|user_server))[}]" $claim) }}
{{- $devices := false }}
{{- range $_, $class := $section.gpu_classes }}
{{- range $class.accepts }}
{{- if .device_class }}
{{- $devices = true }}
{{- end }}
{{- end }}
{{- end }}
{{- /* Kueue's label in some patch of the pod. */}}
{{- $kueue := false }}
{{- $patches := list $section.pod_template }}
{{- range list $section.workspaces $section.profiles $section.gpu_classes }}
{{- range . }}
{{- $patches = append $patches .pod }}
{{- end }}
{{- end }}
{{- range $patches }}
{{- if hasKey (dig "metadata" "labels" (dict) (. | default dict) | default dict) "kueue.x-k8s.io/queue-name" }}
{{- $kueue = true }}
{{- end }}
{{- end }}
{{- dict
  "userNamespaces" $ownNamespaces
  "deletesNamespaces" (and $ownNamespaces (dig "delete_with_user" false ($namespaces | default dict)))
  "clusterWide" .Values.capacity.clusterWide
  "secrets" (or $tls (ne (dig "token_in_secret" true $section) false))
  "services" (or $tls (dig "services" false $section))
  "claims" $keepsHomes
  "makesClaims" (and $keepsHomes (dig "create" true $storage))
  "deletesClaims" (and $keepsHomes $byUser (not (and $ownNamespaces (dig "delete_with_user" false ($namespaces | default dict)))) (dig "delete_with_user" false $storage))
  "devices" $devices
  "kueue" $kueue
| toJson }}
{{- end }}
