{{/*
The GPUSpawner section: the values', or the chart's first start with the image of singleuser.image. An entry that is null
has been taken away by a later values file.
*/}}
{{- define "gpuspawner.section" -}}
{{- $said := deepCopy .Values.gpuspawner }}
{{- range $key := list "gpu_classes" "profiles" "workspaces" "cohorts" }}
{{- range $name, $entry := index $said $key }}
{{- if kindIs "invalid" $entry }}
{{- $_ := unset (index $said $key) $name }}
{{- end }}
{{- end }}
{{- end }}
{{- if or $said.gpu_classes $said.profiles $said.workspaces }}
{{- toYaml $said }}
{{- else }}
{{- $first := .Files.Get "files/first-start.yaml" | fromYaml }}
{{- $image := include "gpuspawner.image" (dict "context" $ "image" .Values.singleuser.image) }}
{{- range $_, $profile := $first.profiles }}
{{- $_ := set $profile "image" ($profile.image | default $image) }}
{{- end }}
{{- merge $said $first | toYaml }}
{{- end }}
{{- end }}

{{/*
Patches of every server's pod that the chart's values ask for, as a JSON list in the order they are merged in;
gpuspawner.pod_template of the values comes last. Each is a named template that is empty or YAML of a PodTemplateSpec.
*/}}
{{- define "gpuspawner.podTemplates" -}}
{{- $patches := list }}
{{- range list "gpuspawner.podTemplate.serviceAccount" "gpuspawner.podTemplate.files" "gpuspawner.podTemplate.zone" "gpuspawner.podTemplate.scheduling" }}
{{- with include . $ | trim }}
{{- $patches = append $patches (fromYaml .) }}
{{- end }}
{{- end }}
{{- toJson $patches }}
{{- end }}

{{/*
values.json, which gpuspawner.load_values() reads, by the format of gpuspawner/values/document.py. Nothing in it is
secret.
*/}}
{{- define "gpuspawner.values" -}}
{{- $fullname := include "gpuspawner.fullname" . }}
{{- dict
  "release" (dict
    "name" $fullname
    "namespace" .Release.Namespace
    "userNamespace" (include "gpuspawner.userNamespace" .)
    "hubPort" 8081
    "hubUrl" (include "gpuspawner.hubUrl" .)
    "proxyApiUrl" (printf "http://%s-proxy-api.%s.svc:8001" $fullname .Release.Namespace)
    "imagePullSecrets" (include "gpuspawner.imagePullSecretNames" . | fromJsonArray)
    "podTemplates" (include "gpuspawner.podTemplates" . | fromJsonArray)
    "namespaceObjects" (include "gpuspawner.namespaceObjects" . | fromJsonArray)
  )
  "gpuspawner" (include "gpuspawner.section" . | fromYaml)
  "login" .Values.login
  "hub" (dict
    "baseUrl" (include "gpuspawner.baseUrl" .)
    "config" .Values.hub.config
    "loadRoles" (include "gpuspawner.loadRoles" . | fromJson)
  )
| toPrettyJson }}
{{- end }}

{{/* secret-values.json, of the same format: what may be secret. */}}
{{- define "gpuspawner.secretValues" -}}
{{- dict "custom" .Values.custom "hub" (dict
  "secretConfig" .Values.hub.secretConfig
  "extraConfig" .Values.hub.extraConfig
  "services" (include "gpuspawner.services" . | fromJson)
) | toPrettyJson }}
{{- end }}
