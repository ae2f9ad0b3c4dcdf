{{/* The GPUSpawner section: the values', or the chart's first start with the image of singleuser.image. */}}
{{- define "gpuspawner.section" -}}
{{- $said := .Values.gpuspawner }}
{{- if or $said.gpu_classes $said.profiles $said.workspaces }}
{{- toYaml $said }}
{{- else }}
{{- $first := .Files.Get "files/first-start.yaml" | fromYaml }}
{{- $image := include "gpuspawner.image" (dict "context" $ "image" .Values.singleuser.image) }}
{{- range $_, $profile := $first.profiles }}
{{- $_ := set $profile "image" $image }}
{{- end }}
{{- merge (deepCopy $said) $first | toYaml }}
{{- end }}
{{- end }}

{{/*
Patches of every server's pod that the chart's values ask for, as a JSON list in the order they are merged in;
gpuspawner.pod_template of the values comes last. Each is a named template that is empty or YAML of a PodTemplateSpec.
*/}}
{{- define "gpuspawner.podTemplates" -}}
{{- $patches := list }}
{{- range list "gpuspawner.podTemplate.serviceAccount" "gpuspawner.podTemplate.zone" "gpuspawner.podTemplate.scheduling" }}
{{- with include . $ | trim }}
{{- $patches = append $patches (fromYaml .) }}
{{- end }}
{{- end }}
{{- toJson $patches }}
{{- end }}

{{/* values.json: what the hub's load_values() reads. Nothing in it is secret. */}}
{{- define "gpuspawner.values" -}}
{{- $fullname := include "gpuspawner.fullname" . }}
{{- dict
  "release" (dict "name" .Release.Name "namespace" .Release.Namespace "fullname" $fullname)
  "gpuspawner" (include "gpuspawner.section" . | fromYaml)
  "podTemplates" (include "gpuspawner.podTemplates" . | fromJsonArray)
  "imagePullSecrets" (include "gpuspawner.imagePullSecretNames" . | fromJsonArray)
  "login" .Values.login
  "hub" (dict
    "baseUrl" (include "gpuspawner.baseUrl" .)
    "connectUrl" (printf "http://%s-hub.%s.svc:8081" $fullname .Release.Namespace)
    "config" .Values.hub.config
    "extraConfig" .Values.hub.extraConfig
    "database" (dict "type" .Values.hub.database.type)
  )
  "proxy" (dict "apiUrl" (printf "http://%s-proxy-api.%s.svc:8001" $fullname .Release.Namespace))
  "singleuser" (dict "namespace" (include "gpuspawner.userNamespace" .))
| toPrettyJson }}
{{- end }}

{{/* secret-values.json: the same for what is secret. */}}
{{- define "gpuspawner.secretValues" -}}
{{- dict "hub" (dict "config" .Values.hub.secretConfig) | toPrettyJson }}
{{- end }}
