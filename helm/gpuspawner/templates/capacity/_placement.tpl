{{/*
Where launches with GPUs may land, by the same rules as gpuspawner/catalog.py and gpuspawner/placement.py; a test holds
them together.
*/}}

{{/* Values of a list that may be written as one text, as a JSON list. */}}
{{- define "gpuspawner.asList" -}}
{{- if kindIs "slice" . }}{{ toJson . }}{{ else if . }}{{ list . | toJson }}{{ else }}[]{{ end }}
{{- end }}

{{/* The vendor of an offer, from its resource or the device class of a known vendor. */}}
{{- define "gpuspawner.offer.vendor" -}}
{{- if .resource }}
{{- splitList "/" .resource | first }}
{{- else }}
{{- $class := printf ".%s" .device_class }}
{{- range list "nvidia.com" "amd.com" "gpu.intel.com" }}
{{- if hasSuffix (printf ".%s" .) $class }}{{ . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The node label that tells a vendor's product. */}}
{{- define "gpuspawner.vendorLabel" -}}
{{- $known := dict "nvidia.com" "nvidia.com/gpu.product" "amd.com" "amd.com/gpu.product-name" "gpu.intel.com" "gpu.intel.com/product" }}
{{- get $known . | default (printf "%s/product" .) }}
{{- end }}

{{/* The node label that tells the product behind an offer's resource. */}}
{{- define "gpuspawner.offer.label" -}}
{{- if .product_label }}
{{- .product_label }}
{{- else if hasPrefix "nvidia.com/mig-" .resource }}
{{- .resource }}.product
{{- else }}
{{- include "gpuspawner.vendorLabel" (include "gpuspawner.offer.vendor" .) }}
{{- end }}
{{- end }}

{{/* What a node must be labelled with so that its resource is this offer: matchExpressions as a JSON list. */}}
{{- define "gpuspawner.offer.requirements" -}}
{{- if .device_class }}
[]
{{- else if .product }}
{{- $products := include "gpuspawner.asList" .product | fromJsonArray }}
{{- list (dict "key" (include "gpuspawner.offer.label" .) "operator" "In" "values" $products) | toJson }}
{{- else if eq .resource "nvidia.com/gpu" }}
{{- list
  (dict "key" "nvidia.com/gpu.sharing-strategy" "operator" "NotIn" "values" (list "time-slicing" "mps"))
  (dict "key" "nvidia.com/gpu.slices.gi" "operator" "DoesNotExist")
| toJson }}
{{- else }}
[]
{{- end }}
{{- end }}

{{/* Node affinity of pods that may have any of some offers, a list; empty where every node may do. */}}
{{- define "gpuspawner.offers.affinity" -}}
{{- $terms := list }}
{{- $any := false }}
{{- range . }}
{{- $requirements := include "gpuspawner.offer.requirements" . | fromJsonArray }}
{{- if $requirements }}
{{- $term := dict "matchExpressions" $requirements }}
{{- if not (has $term $terms) }}
{{- $terms = append $terms $term }}
{{- end }}
{{- else }}
{{- $any = true }}
{{- end }}
{{- end }}
{{- if and $terms (not $any) }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      {{- toYaml $terms | nindent 6 }}
{{- end }}
{{- end }}

{{/* Node affinity of pods without GPU: (dict "offers" all of the catalog). */}}
{{- define "gpuspawner.cpu.affinity" -}}
{{- $labels := list "nvidia.com/gpu.product" }}
{{- range .offers }}
{{- with include "gpuspawner.offer.vendor" . }}
{{- $labels = append $labels (include "gpuspawner.vendorLabel" .) }}
{{- end }}
{{- with .product_label }}
{{- $labels = append $labels . }}
{{- end }}
{{- end }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          {{- range $labels | uniq | sortAlpha }}
          - {key: {{ . | quote }}, operator: DoesNotExist}
          {{- end }}
{{- end }}

{{/*
Tolerations as a JSON list: those of Zero-to-JupyterHub's dedicated nodes; for GPU launches the taints that vendors and
clouds put on GPU nodes. The argument is a list of offers, empty without GPU.
*/}}
{{- define "gpuspawner.offers.tolerations" -}}
{{- $tolerations := list }}
{{- range list "hub.jupyter.org/dedicated" "hub.jupyter.org_dedicated" }}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Equal" "value" "user" "effect" "NoSchedule") }}
{{- end }}
{{- $taints := list }}
{{- range . }}
{{- with include "gpuspawner.offer.vendor" . }}
{{- $taints = append $taints (printf "%s/gpu" .) }}
{{- end }}
{{- with .resource }}
{{- $taints = append $taints . }}
{{- end }}
{{- end }}
{{- range $taints | uniq | sortAlpha }}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- if . }}
{{- $tolerations = append $tolerations (dict "key" "sku" "operator" "Equal" "value" "gpu" "effect" "NoSchedule") }}
{{- end }}
{{- toJson $tolerations }}
{{- end }}

{{/* Every offer of every GPU class of a section, as a JSON list. */}}
{{- define "gpuspawner.offers" -}}
{{- $offers := list }}
{{- range $_, $class := .gpu_classes }}
{{- range ($class | default dict).accepts }}
{{- $offers = append $offers . }}
{{- end }}
{{- end }}
{{- toJson $offers }}
{{- end }}

{{/*
What patches of pods say of nodes besides, as JSON {nodeSelector, tolerations}: the argument is a list of patches, in the
order they are merged in.
*/}}
{{- define "gpuspawner.patchedPlacement" -}}
{{- $selector := dict }}
{{- $tolerations := list }}
{{- range . }}
{{- $spec := (. | default dict).spec | default dict }}
{{- $selector = merge (dict) ($spec.nodeSelector | default dict) $selector }}
{{- $tolerations = concat $tolerations ($spec.tolerations | default list) }}
{{- end }}
{{- dict "nodeSelector" $selector "tolerations" $tolerations | toJson }}
{{- end }}
