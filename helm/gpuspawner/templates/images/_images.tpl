{{/* Images that a patch of a pod adds, as a JSON list. */}}
{{- define "gpuspawner.patchedImages" -}}
{{- $images := list }}
{{- $spec := (. | default dict).spec | default dict }}
{{- range concat ($spec.initContainers | default list) ($spec.containers | default list) }}
{{- with .image }}
{{- $images = append $images . }}
{{- end }}
{{- end }}
{{- toJson $images }}
{{- end }}

{{/*
The images that launches may need, as JSON {cpu: [...], gpu: [...]}: on nodes without GPUs, and on those with. They are
the profiles' own, those of `images` without wildcard, and those of containers that patches of pods add.
*/}}
{{- define "gpuspawner.images" -}}
{{- $section := include "gpuspawner.section" . | fromYaml }}
{{- $both := .Values.prePuller.extraImages }}
{{- range concat (include "gpuspawner.podTemplates" . | fromJsonArray) (list $section.pod_template) }}
{{- $both = concat $both (include "gpuspawner.patchedImages" . | fromJsonArray) }}
{{- end }}
{{- range $_, $workspace := $section.workspaces }}
{{- $both = concat $both (include "gpuspawner.patchedImages" ($workspace | default dict).pod | fromJsonArray) }}
{{- end }}
{{- $cpu := $both }}
{{- $gpu := $both }}
{{- range $_, $profile := $section.profiles }}
{{- if $profile }}
{{- $images := list $profile.image }}
{{- range include "gpuspawner.asList" $profile.images | fromJsonArray }}
{{- if not (regexMatch "[*?\\[]" .) }}
{{- $images = append $images . }}
{{- end }}
{{- end }}
{{- $images = concat $images (include "gpuspawner.patchedImages" $profile.pod | fromJsonArray) }}
{{- $gpus := kindIs "map" $profile.gpus | ternary ($profile.gpus | default dict) (dict "min" $profile.gpus) }}
{{- $classes := include "gpuspawner.asList" $profile.gpu_classes | fromJsonArray }}
{{- if not (and $classes $gpus.min) }}
{{- $cpu = concat $cpu $images }}
{{- end }}
{{- if or $classes $profile.allow_gpu_nodes }}
{{- $gpu = concat $gpu $images }}
{{- range $classes }}
{{- $class := get ($section.gpu_classes | default dict) . | default dict }}
{{- $gpu = concat $gpu (include "gpuspawner.patchedImages" $class.pod | fromJsonArray) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if not $section.gpu_classes }}
{{- $gpu = list }}
{{- end }}
{{- dict "cpu" ($cpu | uniq | sortAlpha) "gpu" ($gpu | uniq | sortAlpha) | toJson }}
{{- end }}

{{/* Tells whether the images are the same: an annotation of the ConfigMap of values remembers it. */}}
{{- define "gpuspawner.imagesChecksum" -}}
{{- include "gpuspawner.images" . | sha256sum | trunc 16 }}
{{- end }}

{{/*
Nodes with GPUs of some offers: where a launch only needs the resource, those that tell its product. Device classes say
nothing of nodes; with one of them, all nodes.
*/}}
{{- define "gpuspawner.imagePuller.affinity" -}}
{{- $terms := list }}
{{- $any := false }}
{{- range . }}
{{- if .resource }}
{{- $requirements := include "gpuspawner.offer.requirements" . | fromJsonArray }}
{{- if not .product }}
{{- $requirements = append $requirements (dict "key" (include "gpuspawner.offer.label" .) "operator" "Exists") }}
{{- end }}
{{- $terms = append $terms (dict "matchExpressions" $requirements) }}
{{- else }}
{{- $any = true }}
{{- end }}
{{- end }}
{{- if not $any }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      {{- uniq $terms | toYaml | nindent 6 }}
{{- end }}
{{- end }}

{{/*
A DaemonSet that pulls images, as YAML: (dict "context" $ "nodes" "cpu" "images" [...] "component" "image-puller"
"annotations" {...} "priorityClassName" ...). Each image runs for an instant as an init container, one after the other.
*/}}
{{- define "gpuspawner.imagePuller" -}}
{{- $root := .context }}
{{- $puller := $root.Values.prePuller }}
{{- $section := include "gpuspawner.section" $root | fromYaml }}
{{- $offers := include "gpuspawner.offers" $section | fromJsonArray }}
{{- $selector := dict "context" $root "component" (printf "%s-%s" .component .nodes) }}
{{- $patched := include "gpuspawner.patchedPlacement" (append (include "gpuspawner.podTemplates" $root | fromJsonArray) $section.pod_template) | fromJson }}
{{- $affinity := "" }}
{{- $tolerations := list }}
{{- if eq .nodes "gpu" }}
{{- $affinity = include "gpuspawner.imagePuller.affinity" $offers }}
{{- $tolerations = include "gpuspawner.offers.tolerations" $offers | fromJsonArray }}
{{- range $_, $class := $section.gpu_classes }}
{{- $tolerations = concat $tolerations (((($class | default dict).pod | default dict).spec | default dict).tolerations | default list) }}
{{- end }}
{{- else }}
{{- $affinity = include "gpuspawner.cpu.affinity" (dict "offers" $offers) }}
{{- $tolerations = include "gpuspawner.offers.tolerations" list | fromJsonArray }}
{{- end }}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ include "gpuspawner.fullname" $root }}-{{ .component }}-{{ .nodes }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "gpuspawner.labels" $selector | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  revisionHistoryLimit: 1
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: "100%"
  selector:
    matchLabels:
      {{- include "gpuspawner.selectorLabels" $selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "gpuspawner.podLabels" $selector | nindent 8 }}
      {{- with $puller.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- with .priorityClassName }}
      # It makes room for servers, as placeholders do.
      priorityClassName: {{ . | quote }}
      {{- end }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 0
      securityContext:
        {{- toYaml $root.Values.pause.podSecurityContext | nindent 8 }}
      {{- include (hasPrefix "hook-" .component | ternary "gpuspawner.hook.imagePullSecrets" "gpuspawner.imagePullSecrets") $root | nindent 6 }}
      {{- with $patched.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $affinity }}
      affinity:
        {{- . | nindent 8 }}
      {{- end }}
      tolerations:
        {{- concat $tolerations ($patched.tolerations | default list) $puller.tolerations | uniq | toYaml | nindent 8 }}
      initContainers:
        {{- range $index, $image := .images }}
        - name: image-{{ $index }}
          image: {{ $image | quote }}
          imagePullPolicy: IfNotPresent
          command: [/bin/sh, -c, exit 0]
          resources:
            {{- toYaml $puller.resources | nindent 12 }}
          securityContext:
            {{- include "gpuspawner.containerSecurityContext" $root | nindent 12 }}
        {{- end }}
      containers:
        - name: pause
          image: {{ include "gpuspawner.image" (dict "context" $root "image" $root.Values.pause.image) | quote }}
          imagePullPolicy: {{ $root.Values.pause.image.pullPolicy | quote }}
          resources:
            {{- toYaml $puller.resources | nindent 12 }}
          securityContext:
            {{- include "gpuspawner.containerSecurityContext" $root | nindent 12 }}
{{- end }}
