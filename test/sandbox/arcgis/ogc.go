package arcgis

import (
	"encoding/xml"
	"net/http"
	"path"
	"strings"
)

// xmlText escapes text for XML.
func xmlText(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder does not fail
	return b.String()
}

// protocols answers below /services, where servers speak the protocols of the
// Open Geospatial Consortium and Google's KML, each with the absolute links that
// make clients leave a proxy.
func (s *site) protocols(c *call, rest string) {
	if c.member == nil && !c.shape.AllowsAnonymous {
		c.demandToken()
		return
	}
	here := s.base(c) + "/services/" + rest
	say := func(address string) string { return xmlText(c.p.choose.spell(address)) }
	const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	switch path.Base(rest) {
	case "WMSServer":
		if strings.EqualFold(c.form.Get("request"), "GetMap") || strings.EqualFold(c.form.Get("request"), "GetLegendGraphic") {
			c.bytes(http.StatusOK, "image/png", onePixel)
			return
		}
		c.bytes(http.StatusOK, "text/xml; charset=utf-8", []byte(head+`<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms" xmlns:xlink="http://www.w3.org/1999/xlink">
  <Service><Name>WMS</Name><Title>Trees</Title><OnlineResource xlink:type="simple" xlink:href="`+say(here)+`?"/></Service>
  <Capability>
    <Request>
      <GetMap><Format>image/png</Format><DCPType><HTTP><Get><OnlineResource xlink:type="simple" xlink:href="`+say(here)+`?"/></Get></HTTP></DCPType></GetMap>
    </Request>
    <Layer><Title>Trees</Title><CRS>CRS:84</CRS><Layer queryable="1"><Name>0</Name><Title>Street trees</Title>
      <Style><Name>default</Name><LegendURL width="20" height="20"><Format>image/png</Format><OnlineResource xlink:type="simple" xlink:href="`+xmlText(unsecured(s.url)+"/services/"+rest+"?request=GetLegendGraphic&layer=0")+`"/></LegendURL></Style>
    </Layer></Layer>
  </Capability>
</WMS_Capabilities>
`))
	case "WFSServer":
		c.bytes(http.StatusOK, "application/xml", []byte(head+`<wfs:WFS_Capabilities version="2.0.0" xmlns:wfs="http://www.opengis.net/wfs/2.0" xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:xlink="http://www.w3.org/1999/xlink">
  <ows:OperationsMetadata>
    <ows:Operation name="GetFeature"><ows:DCP><ows:HTTP><ows:Get xlink:href="`+say(here)+`"/><ows:Post xlink:href="`+say(here)+`"/></ows:HTTP></ows:DCP></ows:Operation>
  </ows:OperationsMetadata>
  <wfs:FeatureTypeList><wfs:FeatureType><wfs:Name>Trees</wfs:Name><wfs:MetadataURL xlink:href="`+xmlText(here+"?request=GetMetadata&typeName=Trees")+`"/></wfs:FeatureType></wfs:FeatureTypeList>
</wfs:WFS_Capabilities>
`))
	case "KmlServer":
		c.bytes(http.StatusOK, "application/vnd.google-earth.kml+xml", []byte(head+`<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>Trees</name>
  <description><![CDATA[<a href="`+s.p.base+`/home/item.html?id=`+treesItem+`">About these trees</a>]]></description>
  <NetworkLink><name>Street trees</name><Link><href>`+xmlText(c.p.choose.spell(s.base(c))+"/rest/services/Trees/MapServer/export?f=image&bbox=-122.7,45.5,-122.6,45.6")+`</href></Link></NetworkLink>
</Document></kml>
`))
	case "MapServer", "FeatureServer": // SOAP, of which there is only the beginning of a description
		c.bytes(http.StatusOK, "text/xml; charset=utf-8", []byte(head+`<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><service name="Trees"><port><address location="`+say(here)+`"/></port></service></definitions>`+"\n"))
	default:
		c.missing()
	}
}

// wmts answers WMTSCapabilities.xml, whose tiles are addresses with places to fill in.
func (s *site) wmts(c *call, here string) {
	tiles := xmlText(c.p.choose.spell(here) + "/tile/1.0.0/Trees/default/default028mm/{TileMatrix}/{TileRow}/{TileCol}.png")
	c.bytes(http.StatusOK, "application/xml", []byte(`<?xml version="1.0" encoding="UTF-8"?>
<Capabilities version="1.0.0" xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:xlink="http://www.w3.org/1999/xlink">
  <ows:OperationsMetadata><ows:Operation name="GetTile"><ows:DCP><ows:HTTP><ows:Get xlink:href="`+xmlText(here+"/tile/1.0.0/")+`"/></ows:HTTP></ows:DCP></ows:Operation></ows:OperationsMetadata>
  <Contents><Layer><ows:Title>Trees</ows:Title><ows:Identifier>Trees</ows:Identifier><ResourceURL format="image/png" resourceType="tile" template="`+tiles+`"/></Layer></Contents>
  <ServiceMetadataURL xlink:href="`+xmlText(here+"/1.0.0/WMTSCapabilities.xml")+`"/>
</Capabilities>
`))
}
